"""One evaluation timed from outside: from its POST, through its events, to `completed`."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import assay
from bench.fixtures import SLUG, BenchError
from shared.api import EventOut
from shared.contracts import Status

DEADLINE_S = 600.0


@dataclass(frozen=True)
class Timing:
    """Seconds from the POST: to the status `running`, to each count of stored results, and to `completed`.

    `progress` holds (seconds, results stored) in the order of time, from (`started_s`, 0) to all of them.
    """

    items: int
    started_s: float
    progress: Sequence[tuple[float, int]]
    completed_s: float

    @property
    def stored_s(self) -> float:
        """To the event that says that the last result is stored."""
        return self.at(self.items)

    @property
    def told(self) -> int:
        """Results that were stored when the last event but the final one told of them. The final one comes after all results of the
        evaluation have been counted, once, which decides that it is complete (`docs/recovery.md`)."""
        return max(done for _, done in self.progress if done < self.items)

    def at(self, count: int) -> float:
        """When `count` results were stored, between two progress events on a straight line."""
        before_s, before = self.progress[0]
        for after_s, after in self.progress[1:]:
            if after >= count:
                return before_s + (after_s - before_s) * (count - before) / max(1, after - before)
            before_s, before = after_s, after
        raise BenchError(f"only {before} of {count} results were stored")

    @property
    def steady_per_s(self) -> float:
        """Results per second between 10 % and 90 % of progress: without the start and the end."""
        low, high = self.items // 10, self.items * 9 // 10
        return (high - low) / (self.at(high) - self.at(low))


def timing(posted: float, items: int, events: Sequence[EventOut]) -> Timing:
    """From the events of one evaluation, posted at the Unix time `posted`; their clock is this machine's too."""
    since = [(event.time.timestamp() - posted, event) for event in events]

    def moment(kind: str) -> float:
        for seconds, event in since:
            if event.type == f"assay.evaluation.{kind}":
                return seconds
        raise BenchError(f"the evaluation never was {kind}: its last event is {events[-1].type}")

    progress = [(s, event.data["done"]) for s, event in since if event.type == "assay.evaluation.progress"]
    return Timing(items, moment("started"), [(moment("started"), 0), *progress], moment("completed"))


def evaluate(
    client: assay.Client, model_id: str, items: int, deadline_s: float = DEADLINE_S, *, priority: int = 1
) -> Timing:
    """Run one evaluation over the first `items` items.

    Raises `BenchError` where a call failed: a rate of errors is none.
    """
    posted = time.time()
    evaluation = client.evaluations.start(SLUG, [model_id], limit=items, priority=priority).evaluations[0]
    client.evaluations.wait(evaluation.id, timeout=deadline_s)
    ended = client.evaluations.get(evaluation.id)
    if ended.status is not Status.COMPLETED or ended.progress.correct != items:
        raise BenchError(f"evaluation #{ended.number} is {ended.status} with {ended.progress.correct} of {items} right")
    return timing(posted, items, list(client.events.history(evaluation.id)))
