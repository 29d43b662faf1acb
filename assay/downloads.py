"""A file on its way to disk: written under a temporary name, verified, then renamed."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from assay.errors import ChecksumMismatch, InvalidInput, NotFound
from shared.api import File

CHUNK = 256 * 1024


def find(files: Iterable[File], name: str) -> File:
    """The entry of that name. Raises `NotFound` naming those that there are."""
    for file in files:
        if file.name == name:
            return file
    there = ", ".join(sorted(file.name for file in files)) or "none yet"
    raise NotFound(404, "Not found", f"the evaluation has no file {name!r}; there are: {there}")


def destination(to: str | os.PathLike[str], name: str) -> Path:
    """Where `name` goes: into `to` if that is a folder, else to `to` itself. A name that leads out of the folder is refused."""
    path = Path(to)
    if not path.is_dir():
        return path
    if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
        raise InvalidInput(f"the file's name {name!r} is not a plain file name; give a file to write to")
    return path / name


class Download:
    """Takes chunks; on a clean exit verifies size and sha256 and renames, else leaves nothing behind."""

    def __init__(self, file: File, path: Path) -> None:
        self._file = file
        self._path = path
        self._hash = hashlib.sha256()
        self._size = 0

    def __enter__(self) -> Self:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", suffix=".part", dir=self._path.parent)
        self._stream = os.fdopen(handle, "wb")
        self._temporary = Path(name)
        return self

    def write(self, chunk: bytes) -> None:
        self._stream.write(chunk)
        self._hash.update(chunk)
        self._size += len(chunk)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._stream.close()
            if error is None:
                self._verify()
                # mkstemp makes files for the owner alone; this one is an ordinary file.
                self._temporary.chmod(0o644)
                self._temporary.replace(self._path)
        finally:
            self._temporary.unlink(missing_ok=True)

    def _verify(self) -> None:
        digest = self._hash.hexdigest()
        if (self._size, digest) != (self._file.size, self._file.sha256.lower()):
            raise ChecksumMismatch(
                f"{self._file.name}: {self._size} bytes with sha256 {digest} came,"
                f" {self._file.size} bytes with {self._file.sha256} are listed"
            )
