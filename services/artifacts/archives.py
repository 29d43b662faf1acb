"""The archives of an evaluation, which come out the same, byte for byte, whoever writes them and whenever."""

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Any, Self
from urllib.parse import urlsplit, urlunsplit

import yaml

from services.artifacts.exports import to_json, to_sorted_json, well_formed

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can carry
_REGULAR_FILE = 0o100644 << 16
_UNIX = 3
_CHUNK = 1024 * 1024
_LIMITS = ("max_concurrency", "requests_per_minute", "timeout_s", "connect_timeout_s", "max_attempts")


class ArchiveWriter:
    """Writes a zip, entry after entry in the order given, with flat memory.

    Entries are stored, not deflated: what deflate makes of the same data differs between builds of zlib, and an archive
    is verified by its sha256. A bad or repeated name raises `ValueError`. As a context it closes at its end, and removes
    the file on an error.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
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
        entry.compress_type = zipfile.ZIP_STORED
        entry.file_size = size
        return entry


class SubmissionWriter:
    """`submission.zip`: `submission.json` (what is evaluated, on what, with which parameters) and the manifest.

    Item ids are pushed in the order of the items. `model` is its public view, of which only `public_model` gets in. As a
    context it closes at its end, and removes the file on an error.
    """

    def __init__(
        self,
        path: Path,
        evaluation: Mapping[str, Any],
        model: Mapping[str, Any],
        manifest: Mapping[str, Any],
        assay_version: str,
    ) -> None:
        head = {
            "environment": {"slug": evaluation["environment"], "version": evaluation["environment_version"]},
            "phase": evaluation["phase"],
            "limit": evaluation["limit"],
            "samples_per_item": evaluation["samples_per_item"],
            "params": evaluation["params"],
            "model": public_model(model),
            "assay_version": assay_version,
        }
        with ExitStack() as stack:
            archive = stack.enter_context(ArchiveWriter(path))
            archive.add_bytes("environment.yaml", _to_yaml(manifest))
            self._out = stack.enter_context(archive.open("submission.json"))
            self._out.write(to_sorted_json(head, indent=True).removesuffix(b"\n}") + b',\n  "item_ids": [')
            self._stack = stack.pop_all()
        self._separator = b"\n    "

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)

    def add_item_id(self, item_id: str) -> None:
        self._out.write(self._separator + to_json(item_id))
        self._separator = b",\n    "

    def close(self) -> None:
        """Complete the archive. Doing it again changes nothing."""
        with self._stack:
            if not self._out.closed:
                self._out.write(b"\n  ]\n}\n")


def write_scoring_output(
    path: Path,
    scores: Mapping[str, Any],
    stdout: str = "",
    stderr: str = "",
    written: Iterable[tuple[str, Path]] = (),
) -> None:
    """`scoring_output.zip`: `scores.json`, `stdout.txt`, `stderr.txt`, then by name what a scoring program has written."""
    with ArchiveWriter(path) as archive:
        archive.add_bytes("scores.json", to_sorted_json(scores, indent=True) + b"\n")
        archive.add_bytes("stdout.txt", well_formed(stdout).encode())
        archive.add_bytes("stderr.txt", well_formed(stderr).encode())
        for name, source in sorted(written):
            archive.add_file(name, source)


def public_model(model: Mapping[str, Any]) -> dict[str, Any]:
    """What of a model is no secret. An address loses its user, password and query, since some endpoints take keys there."""
    address = urlsplit(model["base_url"])
    return {
        "name": model["name"],
        "source": model["source"],
        "base_url": urlunsplit((address.scheme, address.netloc.rpartition("@")[2], address.path, "", "")),
        "model": model["model"],
        "api": model["api"],
        "stream": model["stream"],
        "limits": {name: model[name] for name in _LIMITS},
    }


def _to_yaml(manifest: Mapping[str, Any]) -> bytes:
    """The manifest in its own order of keys, which is the order in which it was written."""
    text: str = yaml.safe_dump(well_formed(manifest), sort_keys=False, allow_unicode=True, width=120)
    return text.encode()
