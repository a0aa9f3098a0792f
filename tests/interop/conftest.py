"""What the tests against other vendors' programs share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import node


@pytest.fixture(scope="session")
def node_client() -> Path:
    """node-opcua's packages."""
    return node.installed()
