"""YAML files of a bundle."""

from pathlib import Path
from typing import Any

from services.artifacts.problems import Problems
from shared.yamls import Lines, NotRead, parse_yaml


def read_yaml(
    path: Path, name: str, max_bytes: int, problems: Problems, keys: str, lenient: bool = False
) -> tuple[dict[str, Any], Lines]:
    """The mapping that the file holds, see `parse_yaml`. What is wrong is raised as `Invalid`, with its line."""
    if path.stat().st_size > max_bytes:
        problems.add([name], f"is larger than {max_bytes:,} bytes")
        problems.raise_any()
    try:
        return parse_yaml(path.read_bytes(), keys, lenient)
    except NotRead as error:
        problems.add([name], str(error))
        problems.raise_any()
        raise
