"""The command of a scoring program: its variables, its words, its interpreter. Pure."""

import re
import shlex
from typing import NamedTuple

PROGRAM = "/app/program"
INPUT = "/app/input"
OUTPUT = "/app/output"
SHARED = "/app/shared"

_VARIABLES = {
    "input": INPUT,
    "output": OUTPUT,
    "program": PROGRAM,
    "ingestion_program": PROGRAM,
    "hidden": f"{INPUT}/ref",
    "shared": SHARED,
    "submission_program": "/app/ingested_program",
    "tmp": OUTPUT,
    "predictions": f"{INPUT}/res",
}
"""What Codabench's compute worker puts in their place at scoring (`replace_legacy_metadata_command` in its `compute_worker.py`)."""

_VARIABLE = re.compile(r"\$(?:\{(%s)\}|(%s))" % (("|".join(_VARIABLES),) * 2))
_PYTHON = re.compile(r"(?:.*/)?python(3(?:\.\d+)?)?")


class Command(NamedTuple):
    """`words` are run without a shell, as Codabench does. `asked_for` is the interpreter that the command names by its version."""

    words: list[str]
    asked_for: str | None


def command(written: str, python: str) -> Command:
    """What to run. `python` is the interpreter that takes the place of any Python 3; one of another version is `asked_for`.

    Raises ValueError where the text cannot be split into words.
    """
    text = _VARIABLE.sub(lambda found: _VARIABLES[found[1] or found[2]], written)
    first, *rest = shlex.split(text)
    found = _PYTHON.fullmatch(first)
    if found is None:
        return Command([first, *rest], None)
    version = found[1] or ""
    return Command([python, *rest], f"python{version}" if "." in version else None)
