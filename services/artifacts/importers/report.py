"""What a converter says of what it made."""

from collections import Counter
from dataclasses import dataclass, field

from shared.api import Imported

_MAX_NOTES = 50
_MAX_NOTE = 1000  # characters; a source chooses its names


@dataclass
class Report:
    """`notes` are whole sentences on what was guessed, changed or could not be carried over; `dropped` counts things by kind
    (`{"solutions": 2}`); `comparable` and why (a sentence) say whether scores compare with the original's."""

    comparable: bool = True
    comparable_why: str = ""
    notes: list[str] = field(default_factory=list)
    dropped: Counter[str] = field(default_factory=Counter)

    def note(self, sentence: str) -> None:
        if sentence not in self.notes:
            self.notes.append(sentence)

    def drop(self, kind: str, sentence: str = "", count: int = 1) -> None:
        """Count what is left out, and say so in a sentence."""
        self.dropped[kind] += count
        if sentence:
            self.note(sentence)

    def as_imported(self, format_: str, source: str) -> Imported:
        notes = [note if len(note) <= _MAX_NOTE else f"{note[:_MAX_NOTE]}..." for note in self.notes[:_MAX_NOTES]]
        if (more := len(self.notes) - _MAX_NOTES) > 0:
            notes.append(f"... and {more} more")
        return Imported(
            format=format_,
            source=source,
            notes=notes,
            comparable=self.comparable,
            comparable_why=self.comparable_why,
            dropped=dict(self.dropped.most_common(_MAX_NOTES)),
        )
