"""The archives of an evaluation, which come out the same, byte for byte, whoever writes them and whenever."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

import yaml

from shared.archives import ArchiveWriter
from shared.jsontexts import to_json, to_sorted_json, well_formed

_LIMITS = ("max_concurrency", "requests_per_minute", "timeout_s", "connect_timeout_s", "max_attempts")


class SubmissionWriter:
    """`submission.zip`: `submission.json` (what is evaluated, on what, with which parameters) and the manifest.

    Item ids are pushed in the order of the items. `model` is its public view, of which only `public_model` gets in, and `judge` that of
    the model that judges, if one does. As a context it closes at its end, and removes the file on an error.
    """

    def __init__(
        self,
        path: Path,
        evaluation: Mapping[str, Any],
        model: Mapping[str, Any],
        manifest: Mapping[str, Any],
        assay_version: str,
        judge: Mapping[str, Any] | None = None,
    ) -> None:
        head = {
            "environment": {"slug": evaluation["environment"], "version": evaluation["environment_version"]},
            "phase": evaluation["phase"],
            "limit": evaluation["limit"],
            "samples_per_item": evaluation["samples_per_item"],
            "params": evaluation["params"],
            "model": public_model(model),
            **({"judge": public_model(judge)} if judge else {}),
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
    """What of a model is no secret: where it is called, or what its engine loads.

    An address loses its user, password and query, since some endpoints take keys there.
    """
    engine = model.get("engine")
    address = urlsplit(model["base_url"] or "")
    public = urlunsplit((address.scheme, address.netloc.rpartition("@")[2], address.path, "", ""))
    return {
        "name": model["name"],
        "source": model["source"],
        **({"engine": engine} if engine else {"base_url": public}),
        "model": model["model"],
        "api": model["api"],
        "stream": model["stream"],
        "limits": {name: model[name] for name in _LIMITS},
    }


def _to_yaml(manifest: Mapping[str, Any]) -> bytes:
    """The manifest in its own order of keys, which is the order in which it was written."""
    text: str = yaml.safe_dump(well_formed(manifest), sort_keys=False, allow_unicode=True, width=120)
    return text.encode()
