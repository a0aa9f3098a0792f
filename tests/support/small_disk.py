"""A disk of a few megabytes, which can be full or read-only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = bytes(4096)


class SmallDisk:
    """Mounted at `path`; everything on it is gone at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        """Let nothing else fit on it but about so many bytes."""
        with self._filler.open("ab", buffering=0) as file:
            try:
                while True:
                    file.write(BLOCK)
            except OSError:
                file.truncate(max(0, file.seek(0, os.SEEK_END) - leave))

    def free(self) -> None:
        """Take away what filled it."""
        self._filler.unlink()

    def make_read_only(self) -> None:
        _as_root("mount", "-o", "remount,ro", str(self.path))


@contextmanager
def small_disk(path: Path, mebibytes: int) -> Iterator[SmallDisk]:
    """Skips where nothing can be mounted: that takes Linux, and root or a sudo that asks nothing."""
    if sys.platform != "linux":
        pytest.skip("needs a disk of its own: mounting one takes Linux")
    path.mkdir()
    try:
        _as_root("mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,uid={os.getuid()}", "tmpfs", str(path))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a disk of its own: {getattr(error, 'stderr', error)}")
    try:
        yield SmallDisk(path)
    finally:
        _as_root("umount", "--lazy", str(path))


def _as_root(*command: str) -> None:
    prefix = () if os.geteuid() == 0 else ("sudo", "-n")
    subprocess.run([*prefix, *command], check=True, capture_output=True, text=True)
