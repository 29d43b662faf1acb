"""What is wrong with a bundle, collected: each with its file, its line and what would be right."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.errors import FieldError, Invalid
from shared.explain import Loc

_MAX_ERRORS = 20
_MAX_NAME = 200  # characters of a name in an error's path
_MAX_MESSAGE = 2000  # characters of an error's message
_MAX_QUOTE = 160  # characters of a line that is quoted
_MAX_READ = 64 * 1024  # bytes of it that are looked at
_LINE = re.compile(r"line (\d+)(?:, column \d+)?: ")
_COLUMN = re.compile(r"\bcolumn (\d+)\b")


class Problems:
    """The errors found so far, of which an answer can name only some."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []
        self._file = ""
        self._told: Callable[[Loc, str], str]

    def locate(self, file: str, told: Callable[[Loc, str], str]) -> None:
        """From here on what is said of a path in `file` is said with its line, by `told` (see `shared.yamls.Lines`)."""
        self._file, self._told = file, told

    def add(self, loc: Iterable[str | int], msg: str) -> None:
        """Raises them all as `Invalid` instead of growing beyond the limit."""
        loc = list(loc)
        if loc[0] == self._file and not _LINE.match(msg):
            msg = self._told(tuple(loc[1:]), msg)
        error = field_error(loc, msg)
        if len(self.errors) == _MAX_ERRORS:
            self.errors.append(FieldError(loc=error["loc"][:1], msg="... and more"))
            self.raise_any()
        self.errors.append(error)

    def raise_any(self) -> None:
        if count := len(self.errors):
            said = f"more than {_MAX_ERRORS} errors" if count > _MAX_ERRORS else f"{count} error{'s' * (count > 1)}"
            first = self.errors[0]
            raise Invalid(f"bundle has {said}: {first['loc'][0]}: {first['msg']}", self.errors)


def field_error(loc: Iterable[str | int], msg: str) -> FieldError:
    """Cut to a length: a hostile bundle chooses its names, and neither they nor what lists them may flood an answer."""
    return FieldError(
        loc=[part if isinstance(part, int) else part[:_MAX_NAME] for part in loc],
        msg=msg if len(msg) <= _MAX_MESSAGE else f"{msg[:_MAX_MESSAGE]}...",
    )


def quote(errors: Iterable[FieldError], folder: Path) -> None:
    """Give each error that names a line of a file in `folder` that line's text, cut around the column that it names."""
    wanted: dict[str, list[tuple[int, FieldError]]] = {}
    for error in errors:
        if (found := _LINE.match(error["msg"])) and error["loc"]:
            wanted.setdefault(str(error["loc"][0]), []).append((int(found[1]), error))
    for name, places in wanted.items():
        path = folder / name
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            continue
        texts = _read_lines(path, {line for line, _ in places})
        for line, error in places:
            at = _COLUMN.search(error["msg"])
            if text := _cut(texts.get(line, ""), int(at[1]) if at else 1):
                error["text"] = text


def _read_lines(path: Path, numbers: set[int]) -> dict[int, str]:
    """The beginnings of these lines, counted from 1. A line may have any length, so none is read as a whole."""
    found: dict[int, str] = {}
    number, starts = 0, True
    with path.open("rb") as file:
        while part := file.readline(_MAX_READ):
            number += starts
            if starts and number in numbers:
                found[number] = part.decode("utf-8", "replace").rstrip("\r\n")
                if len(found) == len(numbers):
                    break
            starts = part.endswith(b"\n")
    return found


def _cut(text: str, column: int) -> str:
    text = "".join(letter if letter.isprintable() else " " for letter in text)
    start = max(0, column - _MAX_QUOTE // 2) if len(text) > _MAX_QUOTE else 0
    end = start + _MAX_QUOTE
    return f"{'...' if start else ''}{text[start:end]}{'...' if end < len(text) else ''}".strip()
