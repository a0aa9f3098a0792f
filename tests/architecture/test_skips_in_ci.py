"""In CI a skipped test is a failed test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"

SKIPPING = {
    "a missing program": 'def test_it(require_program):\n    require_program("no-such-program")\n',
    "a mark": 'import pytest\n\n@pytest.mark.skip(reason="not today")\ndef test_it(): pass\n',
    "a skip inside the test": 'import pytest\n\ndef test_it():\n    pytest.skip("not today")\n',
    "a whole module": 'import pytest\n\npytest.skip("not today", allow_module_level=True)\n',
}


def run_pytest(folder: Path, source: str, ci: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, folder)
    (folder / "test_sample.py").write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    environment = os.environ | {"CI": ci, "PYTHONPATH": str(CONFTEST.parent / "support")}
    return subprocess.run(
        [*command, f"--rootdir={folder}", str(folder)], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("source", SKIPPING.values(), ids=SKIPPING)
def test_a_skip_fails_in_ci(tmp_path: Path, source: str) -> None:
    result = run_pytest(tmp_path, source, ci="true")
    assert result.returncode not in (0, 5), result.stdout
    assert "Nothing may be skipped in CI" in result.stdout


def test_a_missing_program_only_skips_elsewhere(tmp_path: Path) -> None:
    result = run_pytest(tmp_path, SKIPPING["a missing program"], ci="")
    assert result.returncode == 0, result.stdout
    assert "1 skipped" in result.stdout


def test_an_expected_failure_is_no_skip(tmp_path: Path) -> None:
    source = "import pytest\n\n@pytest.mark.xfail(strict=True)\ndef test_it():\n    assert 1 == 2\n"
    result = run_pytest(tmp_path, source, ci="true")
    assert result.returncode == 0, result.stdout


def test_a_program_that_is_there_is_found(tmp_path: Path) -> None:
    source = 'def test_it(require_program):\n    assert require_program("sh").endswith("/sh")\n'
    result = run_pytest(tmp_path, source, ci="true")
    assert result.returncode == 0, result.stdout
