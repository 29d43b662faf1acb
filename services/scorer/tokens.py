"""Tokens as an endpoint counted them, and what they cost."""

from collections.abc import Mapping
from typing import Any

PRICED = 1_000_000
"""Prices are for so many tokens."""


class Tokens:
    """Sums over calls. `counts` has `prompt`, `completion`, `total` and `unreported`: the questions that nobody counted, so that the
    sums are too small."""

    def __init__(self) -> None:
        self.counts = {"prompt": 0, "completion": 0, "total": 0, "unreported": 0}
        self._is_whole = True

    def add(self, usage: Mapping[str, Any] | None, attempts: int, *, answered: bool) -> None:
        """What became of one question, in `attempts` calls; `answered` where something came back."""
        prompt, completion, total = ((usage or {}).get(f"{part}_tokens") for part in ("prompt", "completion", "total"))
        if prompt is None and completion is None and total is None:
            self.counts["unreported"] += attempts > 0
            self._is_whole = self._is_whole and not answered
            return
        self._is_whole = self._is_whole and prompt is not None and completion is not None
        prompt, completion = prompt or 0, completion or 0
        self.counts["prompt"] += prompt
        self.counts["completion"] += completion
        self.counts["total"] += prompt + completion if total is None else total

    def cost(self, price: Mapping[str, float | None] | None) -> float | None:
        """US dollars, at `price` (`input` and `output`, in US dollars per million tokens).

        None where a price is not known, of an answer was not said how many tokens were in and out, or no call was counted at all. Beside
        calls that were, what failed and was not counted is taken as free.
        """
        asked, said = (price or {}).get("input"), (price or {}).get("output")
        is_counted = self._is_whole and (self.counts["total"] > 0 or not self.counts["unreported"])
        if asked is None or said is None or not is_counted:
            return None
        return (self.counts["prompt"] * asked + self.counts["completion"] * said) / PRICED
