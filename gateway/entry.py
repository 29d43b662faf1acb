"""One event of the log, in the form in which clients get it."""

from dataclasses import dataclass
from typing import Any

import orjson

from shared.contracts import EVALUATION_FINAL_TYPES

_FIRST_TYPE = "assay.evaluation.queued"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of the log. `position` is the stream's sequence and the event's cursor, `text` the JSON that clients get."""

    position: int
    scope: str
    """The evaluation's id, or `_` for what belongs to none."""
    type: str
    round: int
    text: str

    @property
    def is_first(self) -> bool:
        """Whether an evaluation's log begins with it."""
        return self.type == _FIRST_TYPE

    @property
    def is_final(self) -> bool:
        """Whether a round of an evaluation ended with it."""
        return self.type in EVALUATION_FINAL_TYPES


def entry_of(position: int, scope: str, event: dict[str, Any]) -> Entry:
    """The entry for a CloudEvents object; raises `KeyError` for one without a type."""
    round_ = (event.get("data") or {}).get("round") or 0
    text = orjson.dumps({**event, "cursor": str(position)}).decode()
    return Entry(position, scope, event["type"], round_, text)
