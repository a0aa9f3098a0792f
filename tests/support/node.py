"""node-opcua, an independent OPC UA stack, as a process of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1] / "interop" / "opcua"
INSTALL_SECONDS_MAX = 180


def installed() -> Path:
    """The client with its packages, installed once for each lock file into the user's cache."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("needs node and npm, which are not on PATH")
    lock = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "myntverk-tests"
    ready = cache / f"node-opcua-{lock}"
    if not ready.exists():
        cache.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix="node-opcua-", dir=cache))
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, fresh)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            subprocess.run(command, cwd=fresh, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            shutil.rmtree(fresh, ignore_errors=True)
            pytest.skip(f"needs node-opcua-client from the npm registry: {error.stderr or error}")
        try:
            fresh.rename(ready)
        except OSError:  # another test run was first
            shutil.rmtree(fresh, ignore_errors=True)
    return ready


async def start_node(packages: Path, endpoint: str, story: str) -> Process:
    environment = os.environ | {"NODE_PATH": str(packages / "node_modules")}
    script = str(HERE / "client.cjs")
    return await asyncio.create_subprocess_exec(
        "node", script, endpoint, story, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment
    )
