"""Imports as tests make them: what is sent, converted and read as the bundle that it became."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gateway.imports import options_from
from services.artifacts.bundles import Bundle, Limits, read_bundle
from services.artifacts.importers import import_source
from shared.api import Imported
from shared.errors import FieldError, Invalid
from tests.unit.artifacts.bundles import write_zip

Files = Mapping[str, str | bytes]


def send(tmp_path: Path, files: Files, name: str | None = None) -> tuple[Path, str]:
    """What is sent, and its filename: the one file as it is, or with a `name` (or of several files) a zip."""
    tmp_path.mkdir(exist_ok=True)
    content = {key: value.encode() if isinstance(value, str) else value for key, value in files.items()}
    sent = tmp_path / "sent"
    if len(content) == 1 and name is None:
        filename, data = next(iter(content.items()))
        sent.write_bytes(data)
        return sent, filename
    return write_zip(sent, content.items()), name or "source.zip"


def run(
    tmp_path: Path, files: Files, name: str | None = None, *, limits: Limits = Limits(), **options: Any
) -> tuple[Bundle, list[list[dict[str, Any]]], Imported]:
    """The bundle, the items of each phase, and the report."""
    sent, filename = send(tmp_path, files, name)
    out = tmp_path / "out"
    archive, report = import_source(sent, filename, options_from(options, has_file=True), out, limits)
    bundle = read_bundle(archive, out, limits)
    items = [
        [json.loads(line) for line in (out / f"items-{index}.jsonl").read_text().splitlines()]
        for index in range(len(bundle.phases))
    ]
    return bundle, items, report


def errors(tmp_path: Path, files: Files, name: str | None = None, **options: Any) -> list[FieldError]:
    with pytest.raises(Invalid) as caught:
        run(tmp_path, files, name, **options)
    return caught.value.errors


def told(tmp_path: Path, files: Files, name: str | None = None, **options: Any) -> str:
    """All that a person reads of the errors, with their places."""
    return "\n".join(
        f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in errors(tmp_path, files, name, **options)
    )
