"""The manifest of a bundle: from hostile YAML to a validated `Manifest`, each error with its line."""

from pathlib import Path

from pydantic import ValidationError

from services.artifacts.problems import Problems
from services.artifacts.yamls import read_yaml
from shared.explain import explained
from shared.manifest import Manifest

MANIFEST = "environment.yaml"


def read_manifest(path: Path, max_bytes: int, problems: Problems) -> Manifest:
    """The manifest of a bundle. What is wrong with it is added to `problems`, each with its line, which are then raised as `Invalid`."""
    data, lines = read_yaml(path, MANIFEST, max_bytes, problems, "slug, title, prompt, phases and scoring")
    try:
        problems.locate(MANIFEST, lines.told)
        return Manifest.model_validate(data)
    except ValidationError as error:
        for loc, msg in explained(error, data, Manifest.model_json_schema()):
            problems.add([MANIFEST, *loc], msg)
    problems.raise_any()
    raise AssertionError("every way here adds a problem")
