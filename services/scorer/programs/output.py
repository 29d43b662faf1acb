"""What a program has written becomes `scoring_output.zip`, and two of its files may stand for Assay's own."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.scorer.programs.log import Stream
from services.scorer.programs.scores import JSON, ProgramFailed
from services.scorer.sandbox import Output, collect
from shared.archives import ArchiveWriter
from shared.jsontexts import to_json

MAX_FILES = 10_000
MAX_REPORT = 64 * 1024**2
"""Bytes: a browser is slow with more, and Assay's own report ends before."""

REPORT, DATASET = "detailed_results.html", "dataset.jsonl"
_LOGS = ("stdout.txt", "stderr.txt")
_MAX_LINE = 4 * 1024**2


def taken(folder: Path, size: int) -> dict[str, Output]:
    """The files in the program's output folder by name. Raises `ProgramFailed` where there is anything else. Blocks."""
    found, refused = takeable(folder, size)
    if refused:
        more = f", and {len(refused) - 3} more" if len(refused) > 3 else ""
        raise ProgramFailed(
            f"the scoring program left what cannot be taken in /app/output: {'; '.join(refused[:3])}{more}"
        )
    return found


def takeable(folder: Path, size: int) -> tuple[dict[str, Output], list[str]]:
    """The files in the program's output folder by name, and a sentence for each thing that is left there. Blocks."""
    found, refused = collect(folder, files=MAX_FILES, size=size)
    for one in found:
        if not os.access(one.path, os.R_OK):
            os.chmod(one.path, 0o600)  # the program may have shut it, and nobody else is at it any more
    refused += [f"{one.name}: it has a backslash in its name" for one in found if "\\" in one.name]
    return {one.name: one for one in found if "\\" not in one.name}, refused


def pack(
    target: Path, written: Mapping[str, Output], scores: Mapping[str, float] | None, logs: Mapping[Stream, Path]
) -> None:
    """`scoring_output.zip`: `scores.json`, `stdout.txt`, `stderr.txt`, then by name the rest of what was written. Blocks.

    `scores.json` is the program's own where it has written one; `scores` is None where it has failed. A file
    of its own that is called as a log is put into `written/`.
    """
    with ArchiveWriter(target) as archive:
        if JSON in written:
            _add(archive, JSON, written[JSON])
        elif scores is not None:
            archive.add_bytes(JSON, to_json(scores) + b"\n")
        for stream, path in logs.items():
            archive.add_file(f"{stream}.txt", path)
        for name, output in written.items():
            if name != JSON:
                _add(archive, f"written/{name}" if name in _LOGS else name, output)


def _add(archive: ArchiveWriter, name: str, output: Output) -> None:
    with output.open() as source, archive.open(name, output.size) as target:
        shutil.copyfileobj(source, target)


def report_in(written: Mapping[str, Output]) -> Output | None:
    """The page with details: `detailed_results.html`, else the first HTML file at the top, as Codabench has it."""
    if REPORT in written:
        return written[REPORT]
    pages = [name for name in sorted(written) if name.endswith(".html") and "/" not in name]
    return written[pages[0]] if pages else None


def check_dataset(output: Output) -> str | None:
    """What is wrong with a fine-tune dataset that a program has written, or None. Blocks.

    Each line must be an object with `messages`, a list of `{role, content}` that ends with the assistant's.
    """
    with output.open() as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                return f"line {number} is longer than {_MAX_LINE:,} bytes"
            if line.strip() and (problem := _line_problem(line)):
                return f"line {number} {problem}"
    return None


def _line_problem(line: bytes) -> str | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return f"is not JSON: {error}"
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list) or not value["messages"]:
        return "must be an object with a list of messages"
    for message in value["messages"]:
        if not _is_message(message):
            return 'has a message that is not like {"role": "user", "content": "..."}'
    return None if value["messages"][-1]["role"] == "assistant" else "must end with a message of the assistant"


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "developer", "user", "assistant", "tool")
        and isinstance(message.get("content"), str)
    )
