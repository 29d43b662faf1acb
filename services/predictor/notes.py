"""What a person should hear about the calls of an evaluation, for its log."""

from collections import Counter
from dataclasses import dataclass, field

from nats.aio.client import Client

from shared import subjects
from shared.contracts import Note


@dataclass
class Notes:
    """Coalesced: `flush` sends one note an evaluation and text, with its count."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, evaluation: str, text: str, count: int = 1) -> None:
        self.counts[evaluation, text] += count

    async def flush(self, nc: Client) -> None:
        counts, self.counts = self.counts, Counter()
        for (evaluation, text), count in counts.items():
            times = f" ({count} calls)" if count > 1 else ""
            note = Note(evaluation=evaluation, level="warning", message=f"{text}{times}")
            await nc.publish(subjects.notes(evaluation), note.model_dump_json().encode())
