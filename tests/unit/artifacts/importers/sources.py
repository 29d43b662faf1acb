"""Sources of several files, whose rows and YAML tests write as Python values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from services.artifacts.bundles import Bundle
from shared.api import Imported
from shared.errors import FieldError
from tests.unit.artifacts.importers import importing

Content = str | bytes | list[Any] | dict[str, Any]


class Import(NamedTuple):
    """What came out; `items` are those of the first phase."""

    bundle: Bundle
    items: list[dict[str, Any]]
    report: Imported

    @property
    def manifest(self) -> dict[str, Any]:
        return self.bundle.manifest.model_dump(mode="json", exclude_unset=True)

    def column(self, name: str) -> list[Any]:
        return [item[name] for item in self.items]


def content(name: str, value: Content) -> str | bytes:
    """A file's text: rows as JSONL or a JSON array, by the name; a mapping as YAML."""
    if isinstance(value, list):
        return "".join(json.dumps(row) + "\n" for row in value) if name.endswith(".jsonl") else json.dumps(value)
    return yaml.safe_dump(value, sort_keys=False) if isinstance(value, dict) else value


def run(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> Import:
    packed = {name: content(name, value) for name, value in files.items()}
    bundle, items, report = importing.run(tmp_path, packed, **options)
    return Import(bundle, items[0], report)


def refusal(tmp_path: Path, files: Mapping[str, Content], **options: Any) -> FieldError:
    """The one error of an import."""
    (only,) = importing.errors(tmp_path, {name: content(name, value) for name, value in files.items()}, **options)
    return only
