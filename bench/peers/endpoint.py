"""The sample endpoint as the judge: how it behaves, and what it was asked."""

from collections.abc import Mapping
from typing import Any

import httpx


class Endpoint:
    """The endpoint's controls; `base_url` ends in `/v1`."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._http = httpx.Client(base_url=base_url.removesuffix("/v1"), timeout=30, trust_env=False)

    def prepare(self, behaviour: Mapping[str, Any]) -> None:
        """Behave like this from now on, and count from zero."""
        self._http.post("/behaviour", json=dict(behaviour)).raise_for_status()
        self._http.post("/reset").raise_for_status()

    def counts(self) -> dict[str, int]:
        """As `/stats` has them, over all models."""
        found: dict[str, int] = self._http.get("/stats").raise_for_status().json()["total"]
        return found

    def reached(self, answered: int, timeout_s: float) -> bool:
        """Whether so many calls have been answered, waiting at most that long."""
        query = {"answered": answered, "timeout_s": timeout_s}
        response = self._http.get("/wait", params=query, timeout=timeout_s + 10)
        return response.status_code == httpx.codes.OK
