"""Bundles as tests make and read them."""

import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.artifacts.bundles import Bundle, Limits, read_bundle
from shared.errors import FieldError, Invalid

Entry = tuple[str | zipfile.ZipInfo, bytes]
ITEMS = '{"id": "a", "question": "1 + 1?", "answer": 2, "kind": "sum"}\n'


def write_zip(path: Path, entries: Iterable[Entry], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries:
            archive.writestr(name, content, compress_type=method)
    return path


def manifest(**changes: Any) -> dict[str, Any]:
    """A good manifest over `dev.jsonl`."""
    return {
        "slug": "sums",
        "title": "Sums",
        "prompt": {"system": "Be brief.", "template": "Q: {{ question }}"},
        "phases": [phase()],
        "scoring": {"scorer": "numeric"},
    } | changes


def phase(**changes: Any) -> dict[str, Any]:
    fields = {"id": "id", "input": "question", "target": "answer"}
    return {"name": "dev", "data": "dev.jsonl", "fields": fields} | changes


def write_bundle(folder: Path, text: str | dict[str, Any], **files: str | bytes) -> Path:
    """A folder with the manifest and `files`, whose names have `__` for a dot."""
    folder.mkdir(exist_ok=True)
    for name, content in {
        "environment__yaml": text if isinstance(text, str) else yaml.safe_dump(text, sort_keys=False),
        **files,
    }.items():
        (folder / name.replace("__", ".")).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def make(tmp_path: Path, text: str | dict[str, Any], **files: str | bytes) -> Path:
    """A zip with the manifest and `files`, whose names have `__` for a dot; with none, `dev.jsonl` with one item."""
    tmp_path.mkdir(exist_ok=True)
    entries = [("environment.yaml", (text if isinstance(text, str) else yaml.safe_dump(text)).encode())]
    for name, content in (files or {"dev__jsonl": ITEMS}).items():
        entries.append((name.replace("__", "."), content.encode() if isinstance(content, str) else content))
    return write_zip(tmp_path / "bundle.zip", entries)


def read(
    tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes
) -> tuple[Bundle, list[dict[str, Any]]]:
    """The bundle, and the first phase's items."""
    bundle = read_bundle(make(tmp_path, text, **files), tmp_path / "out", limits)
    lines = (tmp_path / "out/items-0.jsonl").read_text().splitlines()
    return bundle, [json.loads(line) for line in lines]


def errors(
    tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes
) -> list[FieldError]:
    with pytest.raises(Invalid) as caught:
        read(tmp_path, text, limits, **files)
    assert caught.value.detail.startswith("bundle has ")
    return caught.value.errors


def error(tmp_path: Path, text: str | dict[str, Any], limits: Limits = Limits(), **files: str | bytes) -> FieldError:
    (only,) = errors(tmp_path, text, limits, **files)
    return only
