"""Values as a person reads them, in reports and on pages. Numbers that are None read as a dash."""

import math
import re
from typing import Any

from markupsafe import Markup

# C0 and C1 controls but for tab and newline, bidi embeddings, overrides and isolates, lone surrogates, noncharacters.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(value: Any) -> Any:
    """A text with what cannot be seen made visible: a control, a bidi override, a lone surrogate as `[U+202E]`.

    Anything but a text, and what is markup already, is left as it is.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return _UNSEEN.sub(_code_point, value.replace("\r\n", "\n"))


def _code_point(match: re.Match[str]) -> str:
    return f"[U+{ord(match[0]):04X}]"


def clip(text: str, limit: int) -> str:
    """At most `limit` characters, the last of them an ellipsis where something is missing."""
    return text if len(text) <= limit else text[: limit - 1] + "\u2026"


def percent(rate: float | None) -> str:
    """0.26 as `26.00%`."""
    return "\u2014" if rate is None else f"{rate * 100:.2f}%"


def duration(milliseconds: float | None) -> str:
    """As `812 ms` below a second and `1.24 s` from there on, with a space that does not break."""
    if milliseconds is None:
        return "\u2014"
    return f"{milliseconds:.0f}\u00a0ms" if milliseconds < 999.5 else f"{milliseconds / 1000:,.2f}\u00a0s"


def count(number: float | None) -> str:
    """12345 as `12,345`."""
    return "\u2014" if number is None else f"{number:,.0f}"


def plain(number: float | None) -> str:
    """A metric of unknown unit, to 4 places."""
    return "\u2014" if number is None else f"{number:,.4f}".rstrip("0").rstrip(".")


def dollars(amount: float | None) -> str:
    """As `$1,234.50`, and below a dollar with two digits that count: `$0.0021`."""
    if amount is None:
        return "\u2014"
    places = 2 if amount >= 1 or amount == 0 else min(10, 1 - math.floor(math.log10(amount)))
    return f"${amount:,.{max(places, 2)}f}"


def setting(value: Any) -> str:
    """A setting's value in a line: `none`, `yes`, `0.5`, `input 0.5, output 1`."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{name} {setting(one)}" for name, one in value.items() if one is not None) or "none"
        case list():
            return ", ".join(map(setting, value)) or "none"
    return f"{value:,.10g}" if isinstance(value, int | float) else str(value)
