"""Zip archives that come out the same, byte for byte, whoever writes them and whenever."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can carry
_REGULAR_FILE = 0o100644 << 16
_UNIX = 3
_CHUNK = 1024 * 1024


class ArchiveWriter:
    """Writes a zip, entry after entry in the order given, with flat memory.

    Entries are stored unless `deflated`: what deflate makes of the same data differs between builds of zlib, and an evaluation's
    archive is verified by its sha256. A bad or repeated name raises `ValueError`. As a context it closes at its end, and removes
    the file on an error.
    """

    def __init__(self, path: Path, *, deflated: bool = False) -> None:
        self.path = path
        self._method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
        self._zip = zipfile.ZipFile(path, "w", self._method)
        self._names: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @contextmanager
    def open(self, name: str, size: int | None = None) -> Iterator[IO[bytes]]:
        """A stream that becomes the entry `name`. Only one can be open at a time. Without `size` it may pass 2 GiB too."""
        with self._zip.open(self._entry(name, size or 0), "w", force_zip64=size is None) as stream:
            yield stream

    def add_bytes(self, name: str, data: bytes) -> None:
        with self.open(name, len(data)) as stream:
            stream.write(data)

    def add_file(self, name: str, source: Path) -> None:
        """Copy a file from disk in chunks; its own time and mode are not kept."""
        with source.open("rb") as file, self.open(name, source.stat().st_size) as stream:
            while chunk := file.read(_CHUNK):
                stream.write(chunk)

    def close(self) -> None:
        """Write the directory: only now is it an archive."""
        try:
            self._zip.close()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Give up: close the file without caring what it holds, and remove it."""
        try:
            self._zip.close()
        except (OSError, ValueError):
            # A full disk, or an entry that was still open when its writer failed: the file goes in either case.
            if self._zip.fp is not None:
                self._zip.fp.close()
        self.path.unlink(missing_ok=True)

    def _entry(self, name: str, size: int) -> zipfile.ZipInfo:
        parts = PurePosixPath(name).parts
        if (
            not parts
            or name.startswith("/")
            or ".." in parts
            or any(char in name for char in "\\\0")
            or name[-1] == "/"
        ):
            raise ValueError(f"archive entry {name!r}: give a relative path of a file with forward slashes and no '..'")
        if name in self._names:
            raise ValueError(f"archive entry {name!r} is given twice")
        self._names.add(name)
        entry = zipfile.ZipInfo(name, _EPOCH)
        entry.create_system = _UNIX
        entry.external_attr = _REGULAR_FILE
        entry.compress_type = self._method
        entry.file_size = size
        return entry
