"""Evaluations as they run: what their events add up to, as progress bars on a terminal and as lines elsewhere."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from assay.aio import AsyncClient
from assay.render import duration, number, percent, plain, short
from shared.api import Evaluation, EventOut
from shared.contracts import Status

STEP_PERCENT = 10
"""Where there are no bars, a line is written at each such step."""

_STATUS_OF = {
    "queued": Status.QUEUED,
    "started": Status.RUNNING,
    "scoring": Status.SCORING,
    "completed": Status.COMPLETED,
    "failed": Status.FAILED,
    "cancelled": Status.CANCELLED,
}


@dataclass
class Tally:
    """Where one evaluation stands after the events seen so far. Counts are samples, `items_per_s` and `eta_s` the service's own."""

    number: int
    model: str
    total: int
    status: Status = Status.QUEUED
    done: int = 0
    correct: int | None = None
    infra_error: int = 0
    items_per_s: float | None = None
    eta_s: float | None = None

    @classmethod
    def of(cls, evaluation: Evaluation) -> Self:
        return cls(evaluation.number, evaluation.model_name, evaluation.progress.total)

    def apply(self, event: EventOut) -> None:
        kind = event.type.rsplit(".", 1)[-1]
        self.status = _STATUS_OF.get(kind, self.status)
        if kind == "progress":
            data = event.data
            self.done = data["done"]
            self.total = data["total"]
            self.correct = data.get("correct", self.correct)
            self.infra_error = data.get("infra_error", self.infra_error)
            self.items_per_s = data.get("items_per_s")
            self.eta_s = data.get("eta_s")

    @property
    def accuracy(self) -> float | None:
        """Correct of those called so far."""
        called = self.done - self.infra_error
        return None if self.correct is None or called <= 0 else self.correct / called

    @property
    def name(self) -> str:
        return f"#{self.number} {short(self.model, 32)}"

    @property
    def rate(self) -> str:
        return number(self.items_per_s, 1, " items/s") if self.items_per_s else ""

    @property
    def correct_so_far(self) -> str:
        return "" if self.accuracy is None else f"{percent(self.accuracy)} correct"


def is_said(tally: Tally, event: EventOut) -> bool:
    """Whether a line of the log is shown beside the progress: a warning, an error, and what one that is queued waits for."""
    waits = tally.status is Status.QUEUED and event.type == "assay.evaluation.log"
    return waits or event.data.get("level") in ("warning", "error")


class Board(Protocol):
    """Shows tallies."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def show(self, tally: Tally, event: EventOut) -> None:
        """`tally` has just taken `event` into account."""


class Bars:
    """One bar a model; warnings and errors of the log, and what is waited for, scroll above them."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=32),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TextColumn("{task.fields[eta]}", markup=False),
            TextColumn("{task.fields[correct]}", markup=False),
            TextColumn("{task.fields[status]}", markup=False),
            console=console,
        )
        self._bars: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, tally: Tally, event: EventOut) -> None:
        running = tally.status is Status.RUNNING
        fields: dict[str, Any] = {
            "rate": tally.rate,
            "eta": f"{duration(tally.eta_s)} left" if running and tally.eta_s is not None else "",
            "correct": tally.correct_so_far,
            "status": tally.status.value,
        }
        bar = self._bars.get(tally.number)
        if bar is None:
            bar = self._bars[tally.number] = self._progress.add_task(tally.name, total=tally.total, **fields)
        self._progress.update(bar, completed=tally.done, total=tally.total, **fields)
        if is_said(tally, event):
            self._progress.console.print(Text(log_line(event)))


class Lines:
    """A line at each change of status, at each step of progress, and for each warning, each error and what is waited for."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._steps: dict[int, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, tally: Tally, event: EventOut) -> None:
        kind = event.type.rsplit(".", 1)[-1]
        if kind == "progress":
            step = 100 * tally.done // max(1, tally.total) // STEP_PERCENT
            if step <= self._steps.get(tally.number, 0):
                return
            self._steps[tally.number] = step
            parts = (event.data.get("message"), tally.rate, tally.correct_so_far)
            self._write(tally, "  ".join(plain(part) for part in parts if part))
        elif kind in _STATUS_OF:
            self._steps.pop(tally.number, None)
            self._write(tally, tally.status.value)
        elif kind == "scored" or is_said(tally, event):
            self._write(tally, plain(str(event.data.get("message", ""))))

    def _write(self, tally: Tally, message: str) -> None:
        self._console.print(Text(f"{tally.name}  {message}"), soft_wrap=True)


def board(console: Console) -> Board:
    """Bars on a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)


async def follow(client: AsyncClient, evaluations: Sequence[Evaluation], shown: Board) -> list[Evaluation]:
    """Shows the evaluations until each has ended; returns them in the same order, as they ended."""

    async def one(evaluation: Evaluation) -> Evaluation:
        tally = Tally.of(evaluation)
        async for event in client.events(evaluation.id):
            tally.apply(event)
            shown.show(tally, event)
        return await client.evaluations.get(evaluation.id)

    with shown:
        return await asyncio.gather(*(one(evaluation) for evaluation in evaluations))


def log_line(event: EventOut) -> str:
    """`14:03:07 INFO    #12 sample-95  Processing: 10/100 (10%)`, for a person."""
    data = event.data
    level = str(data.get("level", "info")).upper()
    about = f"#{data['number']} {data.get('model_name', '')}".strip() if "number" in data else event.subject
    message = data.get("message") or data.get("error") or data.get("status") or ""
    kind = event.type.removeprefix("assay.").removeprefix("evaluation.")
    said = message if kind in ("log", "progress", "scored") else f"{kind} {message if message != kind else ''}".strip()
    return f"{event.time.astimezone():%H:%M:%S} {plain(level):<7} {short(about, 48)}  {short(said, 500)}"
