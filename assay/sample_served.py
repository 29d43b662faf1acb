"""A sample model as it is served: its behaviour, its counts, its gate."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field

from assay.sample_behaviour import GOOD, Behaviour
from assay.sample_model import SampleModel


@dataclass(slots=True)
class Tally:
    """Counts of calls. One is in flight from the moment its body is read until its answer is handed over to be sent.

    With none in flight, requests = answered + refused_429 + errors_400 + errors_500 + hung + cut + malformed + abandoned, and always
    answered = right + wrong + unknown + empty. `abandoned` calls lost their client, or the endpoint stopped, before the answer.
    """

    requests: int = 0
    answered: int = 0
    right: int = 0
    wrong: int = 0
    unknown: int = 0
    empty: int = 0
    refused_429: int = 0
    errors_400: int = 0
    errors_500: int = 0
    hung: int = 0
    cut: int = 0
    malformed: int = 0
    abandoned: int = 0
    in_flight: int = 0
    max_in_flight: int = 0
    asked: Counter[bytes] = field(default_factory=Counter)
    """Calls by hash of the prompt, without those refused with 429."""
    answered_right: set[bytes] = field(default_factory=set)

    def enter(self) -> None:
        self.requests += 1
        self.in_flight += 1
        if self.in_flight > self.max_in_flight:
            self.max_in_flight = self.in_flight

    def counts(self) -> dict[str, int]:
        counts = {name: getattr(self, name) for name in self.__slots__ if name not in ("asked", "answered_right")}
        return {
            **counts,
            "distinct": len(self.asked),
            "right_distinct": len(self.answered_right),
            "max_calls_per_prompt": max(self.asked.values(), default=0),
        }


class ServedModel:
    """A model with its behaviour, its counts, and what limits its calls."""

    def __init__(self, model: SampleModel) -> None:
        self.model = model
        self.tally = Tally()
        self.gate = asyncio.Event()
        self.gate.set()
        self.behave(GOOD)

    def behave(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self._allowance = max(1.0, behaviour.rate_limit_per_s or 0)
        self._allowed_at = time.monotonic()

    def reset(self) -> None:
        self.tally = Tally(in_flight=self.tally.in_flight, max_in_flight=self.tally.in_flight)

    def has_room(self) -> bool:
        """Whether the call that has just come is within the limits; a token bucket keeps the rate."""
        if self.behaviour.max_concurrent is not None and self.tally.in_flight > self.behaviour.max_concurrent:
            return False
        if (rate := self.behaviour.rate_limit_per_s) is not None:
            now = time.monotonic()
            self._allowance = min(max(1.0, rate), self._allowance + (now - self._allowed_at) * rate)
            self._allowed_at = now
            if self._allowance < 1:
                return False
            self._allowance -= 1
        return True
