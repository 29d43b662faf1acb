"""The answers in the form in which a scoring program reads its submissions. Written a sample at a time, whatever their number."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from shared.jsontexts import to_json
from shared.scoring import PredictionsFile

Result = Mapping[str, Any]


class Form:
    """Writes one file. `close` ends it."""

    def __init__(self, folder: Path, form: PredictionsFile) -> None:
        self._fields = form.fields
        self._kind = form.form
        self._file: BinaryIO = (folder / form.name).open("wb")
        self._empty = True
        lines: dict[str, Callable[[Result], bytes]] = {"csv": _row(","), "tsv": _row("\t"), "txt": _text}
        self._line: Callable[[Result], bytes] = lines.get(self._kind, to_json)
        if self._kind in ("csv", "tsv"):
            self._file.write(self._line({name: name for name in self._fields}))

    def add(self, result: Result) -> None:
        """A sample, from its result as MongoDB has it."""
        values = {name: _value(result, held) for name, held in self._fields.items()}
        if self._kind == "json":
            self._file.write(b"[\n" if self._empty else b",\n")
        self._file.write(self._line(values))
        if self._kind == "jsonl":
            self._file.write(b"\n")
        self._empty = False

    def close(self) -> None:
        if self._kind == "json":
            self._file.write(b"[]\n" if self._empty else b"\n]\n")
        self._file.close()


def _row(delimiter: str) -> Callable[[Result], bytes]:
    def line(values: Result) -> bytes:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerow(values.values())
        return text.getvalue().encode(errors="replace")

    return line


def _text(values: Result) -> bytes:
    first = next(iter(values.values()))
    return " ".join(str("" if first is None else first).splitlines()).encode(errors="replace") + b"\n"


def _value(result: Result, held: str) -> Any:
    if held == "latency_s":
        return None if result["latency_ms"] is None else result["latency_ms"] / 1000
    return result[held]
