"""Temporary folders that do not stay behind: a process killed with SIGKILL cannot remove its own, so the next one does."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"assay-[a-z]+-(\d+)-")


@contextmanager
def workspace(service: str) -> Iterator[Path]:
    """A folder for one piece of a service's work, gone after it."""
    with tempfile.TemporaryDirectory(prefix=f"assay-{service}-{os.getpid()}-") as folder:
        yield Path(folder)


def sweep() -> None:
    """Remove the folders of processes that are no more."""
    for folder in Path(tempfile.gettempdir()).iterdir():
        owner = _NAME.match(folder.name)
        if owner and not Path(f"/proc/{owner[1]}").exists():
            shutil.rmtree(folder, ignore_errors=True)
