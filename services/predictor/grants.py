"""`requests_per_minute` over the whole fleet: the controller counts out grants, and no call starts without one. Pure.

So it holds whatever the number of replicas, retries included; a grant that is lost on its way is a call less, never one more.
"""

from dataclasses import dataclass, field

from shared.contracts import PacingReport

FORGOTTEN_S = 1.0
"""A replica that has not reported for so long makes no calls."""


@dataclass
class Bucket:
    """A token bucket (rate `per_minute`, at most one second's worth and at least one gather) and who needs its tokens."""

    per_minute: float
    tokens: float = 0.0
    at: float | None = None
    _wanted: dict[str, int] = field(default_factory=dict)
    _heard_at: dict[str, float] = field(default_factory=dict)

    def report(self, report: PacingReport, now: float) -> None:
        """What a replica may need until the next grant: what waits there, and as much again as it has started since its last report."""
        self._wanted[report.replica] = report.waiting + report.started - report.tokens
        self._heard_at[report.replica] = now

    def grant(self, now: float) -> dict[str, int]:
        """Tokens for each replica at `now` (seconds), counted as used. Evenly among those that want, a token at a time."""
        per_s = self.per_minute / 60
        if self.at is not None:
            self.tokens = min(max(1.0, per_s), self.tokens + (now - self.at) * per_s)
        self.at = now
        for replica, heard_at in list(self._heard_at.items()):
            if now - heard_at > FORGOTTEN_S:
                del self._heard_at[replica], self._wanted[replica]
        grants: dict[str, int] = {}
        while self.tokens >= 1:
            hungry = [replica for replica, wanted in self._wanted.items() if wanted > 0]
            if not hungry:
                break
            # Whoever wants the most: with few tokens a replica that has much to call is not kept waiting by an idle one.
            replica = max(hungry, key=lambda name: self._wanted[name])
            self._wanted[replica] -= 1
            self.tokens -= 1
            grants[replica] = grants.get(replica, 0) + 1
        return grants
