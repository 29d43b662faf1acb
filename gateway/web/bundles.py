"""What is wrong with a bundle, by file, line and field. `static/upload.js` reads the same out of the API's answer."""

import re
from dataclasses import dataclass

from shared.errors import FieldError

_PLACE = re.compile(r"(line|row) (\d+)(?:, column \d+)?: ")


@dataclass(frozen=True)
class Wrong:
    """`file` within the bundle, `at` as `line 12` (empty where it is the whole file), `field` as `phases[0].data` (or empty), `text` what
    stands on that line."""

    file: str
    at: str
    field: str
    message: str
    text: str = ""


def place(error: FieldError) -> Wrong:
    """An error's `loc` begins with the file; a row of data has its number next, a manifest's path has indices in it."""
    loc, message = list(error["loc"]), error["msg"]
    if loc[:1] == ["bundle"] and len(loc) > 1:
        loc = loc[1:]
    file, path = (str(loc[0]) if loc else "the bundle"), loc[1:]
    at = ""
    if found := _PLACE.match(message):
        at, message = f"{found[1]} {found[2]}", message[found.end() :]
        if path[:1] == [int(found[2])]:
            path = path[1:]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return Wrong(file, at, field, message, error.get("text", ""))
