"""Which columns of a table are an item's parts, and how its answers can be scored: guessed where the request does not say.

A guess is made only where one answer is left, and is always told.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file, wrong_option
from services.artifacts.rows import Row, choices_of
from shared.explain import near
from shared.imports import TableFields

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_INPUTS = ("input", "question", "prompt", "problem", "query", "instruction", "text", "sentence")
_TARGETS = (
    "target",
    "answer",
    "output",
    "label",
    "solution",
    "gold",
    "ground_truth",
    "expected",
    "reference",
    "completion",
)
_IDS = ("id", "item_id", "uid", "_id", "qid", "question_id")
_CHOICES = ("choices", "options")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?:.*####)?[\s$€£]*[-+]?(?:\d[\d,]*\.?\d*|\.\d+)\s*%?\s*", re.DOTALL)


@dataclass
class Seen:
    """What one reading of all rows showed of the columns."""

    columns: dict[str, None] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    numbers: dict[str, bool] = field(default_factory=dict)
    rows: int = 0

    def add(self, row: Row) -> None:
        self.rows += 1
        for name, value in row.values.items():
            self.columns.setdefault(name)
            if isinstance(value, list):
                self.lists.add(name)
            if value not in (None, ""):
                self.numbers[name] = self.numbers.get(name, True) and is_number(value)


def check_header(path: Path, name: str, columns: Iterable[str]) -> None:
    """Raise `Invalid` where a CSV file seems to have none: its first line, of numbers alone, would be lost as a row."""
    names = list(columns)
    # What numbers its columns from 0 or 1 has a header: pandas writes such ones.
    counted = any(names == [str(start + n) for n in range(len(names))] for start in (0, 1))
    if path.suffix in (".csv", ".tsv") and names and not counted and all(is_number(column) for column in names):
        raise wrong_file(
            name, "line 1: is all numbers, as if it were a row already; the first line must name the columns", 1
        )


def is_number(value: Any) -> bool:
    """Whether the numeric scorer could take it: a number, or text that is one (or a worked answer that ends in `#### 18`)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    return not isinstance(value, str) or (len(value) < 20_000 and _NUMBER.fullmatch(value) is not None)


def chosen(
    fields: TableFields,
    columns: Iterable[str],
    report: Report,
    *,
    needs_input: bool = True,
    needs_target: bool = True,
    guess_target: bool = True,
    guess_choices: bool = True,
    of: str = "",
) -> TableFields:
    """`fields` with what it leaves out taken from the columns' names. Raises `Invalid` naming the field, and the file that they are `of`."""
    there = list(columns)
    what = f"the columns{' of ' * bool(of)}{of} are"
    listed = f"{what} {', '.join(there[:20])}"
    input_ = fields.input or _guess("input", _INPUTS, there, report)
    if input_ is None and needs_input:
        raise wrong_option("fields.input", f"is needed: which column is the question: {listed}")
    target = fields.target
    if target is None and guess_target:
        target = _guess("target", _TARGETS, [name for name in there if name != input_], report)
    if target is None and needs_target:
        raise wrong_option("fields.target", f"is needed: which column is the answer: {listed}")
    found = TableFields(
        id=fields.id or _guess("id", _IDS, there, report),
        input=input_,
        target=target,
        choices=fields.choices or (_guess("choices", _CHOICES, there, report) if guess_choices else None),
    )
    for name, column in _named(found):
        if column not in there:
            raise wrong_option(f"fields.{name}", f"there is no column {column!r}; {near(column, there, what)}")
    return found


def _named(fields: TableFields) -> list[tuple[str, str]]:
    choices = fields.choices if isinstance(fields.choices, list) else [fields.choices]
    named = [
        ("id", fields.id),
        ("input", fields.input),
        ("target", fields.target),
        *(("choices", one) for one in choices),
    ]
    return [(name, column) for name, column in named if column is not None]


def _guess(part: str, names: Sequence[str], columns: Sequence[str], report: Report) -> str | None:
    by_lower = {column.lower(): column for column in reversed(columns)}
    found = [by_lower[name] for name in names if name in by_lower]
    if not found:
        return None
    # The part's own name needs no word; another one is a guess.
    if found[0] != part:
        report.note(f"Column {found[0]!r} was taken as the {part}, by its name.")
    return found[0]


def guessed_scoring(fields: TableFields, seen: Seen, report: Report) -> dict[str, Any]:
    """`choice` where there are choices, `numeric` where every target is a number, else `exact_match`."""
    assert fields.target is not None
    if fields.choices is not None:
        report.note("Scored by 'choice', since there are choices: the letter that the answer names.")
        return {"scorer": "choice"}
    if seen.numbers.get(fields.target):
        report.note("Scored by 'numeric', since every target is a number: the last number of the answer.")
        return {"scorer": "numeric"}
    report.note(
        "Scored by 'exact_match': the whole answer must equal the target. Choose another scorer with `scoring`, such as 'contains'."
    )
    return {"scorer": "exact_match"}


def template_of(fields: TableFields, *, choices: str | None) -> str:
    """A prompt that shows the input, and the choices by letter with `choices`, their column."""
    assert fields.input is not None
    shown = f"{{{{ {_reference(fields.input, 'input')} }}}}"
    if choices is None:
        return shown
    listed = f"{{% for choice in {choices} %}}{{{{ '{LETTERS}'[loop.index0] }}}}. {{{{ choice }}}}\n{{% endfor %}}"
    return f"{shown}\n\n{listed}\nAnswer with the letter of the right choice alone."


def _reference(column: str, part: str) -> str:
    """How a template names a column; the part's own name where the column's is no name in Jinja."""
    return column if _NAME.fullmatch(column) else part


def merged_choices(values: dict[str, Any], choices: str | list[str]) -> list[str]:
    """The choices of a row from one column with a list, or from a column each, of which empty ones are left out.

    Raises `ValueError` that completes "column x ...".
    """
    if isinstance(choices, str):
        return choices_of(values.get(choices))
    return choices_of([values[name] for name in choices if values.get(name) not in (None, "")])
