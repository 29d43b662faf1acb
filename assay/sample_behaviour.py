"""How a sample model misbehaves, and which of its calls do."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from assay.sample_model import draw

Fate = Literal["answer", "error_500", "hang", "cut", "malformed", "empty"]


class Behaviour(BaseModel):
    """How a model misbehaves. Without any field it doesn't.

    Which call meets which fate depends on `seed`, the prompt and how often the prompt was asked before (calls refused with 429 don't
    count), so it is the same whatever the order of the calls, and a retry of a call may pass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 0
    latency_ms: float = Field(default=0, ge=0)
    jitter_ms: float = Field(default=0, ge=0, description="at most so much is added to the latency")
    token_ms: float = Field(default=0, ge=0, description="before each streamed token")
    bend_at: int | None = Field(
        default=None, ge=1, description="with more calls in flight, the latency grows in proportion: more bring nothing"
    )
    rate_limit_per_s: float | None = Field(
        default=None, gt=0, description="429 above it; a second's worth may come at once"
    )
    max_concurrent: int | None = Field(default=None, ge=1, description="429 to calls above it")
    retry_after_s: float | None = Field(default=1, ge=0, description="Retry-After of a 429; null sends none")
    error_500_rate: float = Field(default=0, ge=0, le=1)
    hang_rate: float = Field(default=0, ge=0, le=1)
    hang_after_tokens: int = Field(
        default=0, ge=0, description="a streamed answer that hangs sends so many tokens first"
    )
    cut_rate: float = Field(default=0, ge=0, le=1, description="the connection is closed in the middle of the answer")
    malformed_rate: float = Field(default=0, ge=0, le=1, description="status 200 with broken JSON")
    empty_rate: float = Field(default=0, ge=0, le=1, description="an answer with empty content")
    error_400: str | None = Field(
        default=None, min_length=1, description="prompts that contain it are refused by a content filter"
    )
    html_errors: bool = Field(default=False, description="a 500 is a page of HTML, as from a proxy")
    no_usage: bool = False
    reasoning: bool = Field(default=False, description="adds reasoning_content")
    finish_reason: str | None = "stop"

    def _rates(self) -> list[tuple[Fate, float]]:
        return [
            ("error_500", self.error_500_rate),
            ("hang", self.hang_rate),
            ("cut", self.cut_rate),
            ("malformed", self.malformed_rate),
            ("empty", self.empty_rate),
        ]

    @model_validator(mode="after")
    def _one_fate_each(self) -> Self:
        if sum(rate for _, rate in self._rates()) > 1 + 1e-9:
            raise ValueError(
                "error_500_rate, hang_rate, cut_rate, malformed_rate and empty_rate must add up to at most 1"
            )
        return self

    def fate(self, prompt: str, nth: int) -> Fate:
        """What the nth call (from 1) with this prompt comes to: one draw over all rates."""
        chance = draw("fate", self.seed, nth, prompt)
        for fate, rate in self._rates():
            if chance < rate:
                return fate
            chance -= rate
        return "answer"

    def delay_s(self, prompt: str, nth: int, in_flight: int = 1) -> float:
        """Seconds that the nth call with this prompt takes, of `in_flight` that are under way with it."""
        jitter = self.jitter_ms * draw("jitter", self.seed, nth, prompt) if self.jitter_ms else 0
        crowd = max(1.0, in_flight / self.bend_at) if self.bend_at else 1.0
        return (self.latency_ms * crowd + jitter) / 1000


GOOD = Behaviour()
