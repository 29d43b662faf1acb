"""How many calls of a model may be under way at once: the control law. Pure: what an interval came to in, the next limit out.

Two things are looked for. Where an endpoint refuses (429, 503, timeouts): the highest limit at which it does not. Where it
only gets slower: the limit above which more calls at once are no more calls per second. `docs/pacing.md` tells it at length.

Sources: additive increase and one multiplicative decrease for each episode (V. Jacobson, "Congestion Avoidance and Control",
SIGCOMM 1988); a remembered ceiling, approached by halving the distance (L. Xu et al., "Binary Increase Congestion Control",
INFOCOM 2004); the rate as calls in flight over latency (J. Little, Operations Research 9, 1961).
"""

from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from shared.contracts import ModelEndpoint, PacingReport

REFUSED_SHARE = 0.01
"""Above this share of refused calls the limit is too high. Half of what is wanted at most, so that a hold stays below it."""
TIMEOUT_SHARE = 0.1
"""A few calls hang at every endpoint; many at once are overload."""
DECREASE = 0.75
"""What one episode leaves, where nothing tells better."""
MANY_REFUSED = 4
SERVED_DECREASE = (0.5, 0.9)
"""After a doubling, or where many were refused, it is as many as were served beside them, within these bounds."""
SERVED_SURE = 0.9
"""Some of the calls that were under way beside a refused one were refused a moment later, and some had just been answered."""
STEP = 8
"""A step up or down is an eighth of the limit: large enough to be told from noise, small enough to do little harm."""
LONG_STEP = 4
"""While steps give nearly all that they promise and nothing was ever refused."""
CLOSE = 20
"""A limit within a twentieth of where calls were refused is close enough: looking closer costs more refusals than it gives."""
START_GAIN = 0.6
"""A doubling goes on while it gives at least so much of the calls per second that it promises."""
STEP_GAIN = 0.3
"""A step is worth it where the rate grows by this share of the limit's growth: below, latency grows three times as fast."""
FIRST_TRY_S = 20.0
LAST_TRY_S = 300.0
"""A limit that was found is tried again, upwards and downwards in turn, after pauses that double where nothing has changed."""
REFUSED_PAUSES = 3
"""A limit just below one that was refused is tried again later: each try costs refused calls, and the pause that they ask for."""
USED_SHARE = 0.7
"""Fewer calls under way than this share of what the same limit had before: something else holds them back."""
MOST_WAITED = 6
"""So many intervals, longer than a dead predictor's jobs keep their slots, are waited for the calls under way to follow a limit."""
BLAMED_SHARE = 0.2
"""Where more is refused, it is the limit's fault, whatever it looks like."""
BLAME_S = 60.0
"""How long refusals that two decreases did not lessen are taken as no matter of the limit."""

MIN_SPAN_S = 0.5
GONE_S = 1.0
"""A replica that has not reported for so long, four times its pause, is not waited for."""
HOLD_SPAN_S = 1.0
MIN_CALLS = 10


class Phase(StrEnum):
    """`start`: doubling. `climb`: a step after the other. `hold`: found. `try`: one step away from what is held."""

    START = "start"
    CLIMB = "climb"
    HOLD = "hold"
    TRY = "try"


class Interval(BaseModel):
    """What all replicas' calls came to while one limit held. `in_flight` is the mean over time, `latency_s` of answered calls."""

    seconds: float
    ok: int
    refused: int = 0
    timeouts: int = 0
    in_flight: float
    latency_s: float | None
    served: float | None = None
    """Calls in flight beside those that were refused."""

    @property
    def rate(self) -> float:
        """Calls answered per second, by Little's law: a count would be off by a whole round of calls that end together."""
        return self.in_flight / self.latency_s if self.latency_s else 0.0

    @property
    def told(self) -> str:
        """In words, for a log."""
        refused = f", {self.refused} refused" if self.refused else ""
        return f"{self.in_flight:.1f} calls under way, {self.rate:.0f}/s{refused}"


class Law(BaseModel):
    """The law's memory. `base_*` is the last limit that proved itself, with its rate and its calls in flight. Times are Unix times
    in seconds."""

    model_config = ConfigDict(extra="ignore")

    mode: Literal["fixed", "auto"]
    ceiling: int
    limit: int
    phase: Phase
    base_limit: int | None = None
    base_rate: float = 0.0
    base_in_flight: float = 0.0
    waited: int = 0
    refused_at: int | None = None
    downwards: bool = False
    next_try: float = 0.0
    pause: float = FIRST_TRY_S
    cut_from: int = 0
    first_cut_from: int = 0
    cut_share: float = 0.0
    unmoved: int = 0
    tolerated: float = 0.0
    tolerated_until: float = 0.0


def law_for(model: ModelEndpoint, stored: dict[str, Any] | None = None) -> Law:
    """The law to go on with: the stored one, unless the model's settings have changed since."""
    mode: Literal["fixed", "auto"] = "auto" if model.max_concurrency == "auto" else "fixed"
    if stored:
        law = Law.model_validate(stored)
        if (law.mode, law.ceiling) == (mode, model.most_at_once):
            return law
        if law.mode == mode == "auto":
            return law.model_copy(update={"ceiling": model.most_at_once, "limit": min(law.limit, model.most_at_once)})
    phase = Phase.START if mode == "auto" else Phase.HOLD
    return Law(mode=mode, ceiling=model.most_at_once, limit=model.first_limit, phase=phase)


def decide(law: Law, interval: Interval, now: float, *, used: bool = True) -> Law:
    """The law after an interval; its `limit` is the one to set. `used` says that work was waiting: the limit was what bound."""
    if overloaded(law, interval, now):
        return _cut(law, interval, now)
    if now < law.tolerated_until and _refused_share(interval) > REFUSED_SHARE:
        law = law.model_copy(update={"tolerated_until": now + BLAME_S})
    if law.mode == "fixed":
        return _recover(law, interval, now)
    if not used or not interval.rate:
        return law
    judge = {Phase.START: _double, Phase.CLIMB: _climb, Phase.HOLD: _hold, Phase.TRY: _judge}[law.phase]
    judged = judge(law, interval, now)
    # Whatever was decided ends the waiting.
    return judged if judged.waited > law.waited else judged.model_copy(update={"waited": 0})


def overloaded(law: Law, interval: Interval, now: float) -> bool:
    """Whether more was refused, or timed out, than a limit that is low enough lets happen."""
    share = _refused_share(interval)
    bearable = law.tolerated if now < law.tolerated_until else REFUSED_SHARE
    timeouts = interval.timeouts / max(1, interval.ok + interval.timeouts)
    return share > bearable or (interval.timeouts > 1 and timeouts > TIMEOUT_SHARE)


def _refused_share(interval: Interval) -> float:
    return interval.refused / max(1, interval.ok + interval.refused)


def _cut(law: Law, interval: Interval, now: float) -> Law:
    """One decrease for an episode: back to the limit that has proved itself where that is near, else towards what was served."""
    share = _refused_share(interval)
    memory = {
        "refused_at": law.limit,
        "phase": Phase.CLIMB,
        "downwards": False,
        "cut_from": law.limit,
        "cut_share": share,
    }
    base = law.base_limit
    if base is not None and law.limit * DECREASE <= base < law.limit:
        if law.phase is not Phase.TRY:
            return law.model_copy(update={**memory, "limit": base})
        pause = min(LAST_TRY_S, 2 * law.pause)
        held = {"phase": Phase.HOLD, "limit": base, "pause": pause, "next_try": now + pause}
        return law.model_copy(update={**memory, **held})
    # Fewer calls at once and as many refusals, twice over: the limit is not the reason, so it goes back to where it was.
    unmoved = law.unmoved + 1 if law.limit < law.cut_from and share > law.cut_share / 2 and share < BLAMED_SHARE else 0
    if unmoved >= 2:
        top = min(law.ceiling, law.first_cut_from)
        blame = {"tolerated": max(2 * share, 0.05), "tolerated_until": now + BLAME_S, "unmoved": 0, "cut_from": 0}
        again = {"phase": Phase.START if law.mode == "auto" else Phase.CLIMB, "limit": top, "base_limit": None}
        return law.model_copy(update={**memory, **blame, **again, "refused_at": None})
    least, most = SERVED_DECREASE
    lower = law.limit * DECREASE
    many = interval.refused >= max(MANY_REFUSED, law.limit / STEP)
    if interval.served is not None and (many or law.phase is Phase.START):
        lower = min(law.limit * most, max(law.limit * least, SERVED_SURE * interval.served))
        if base is not None and base < law.limit:
            lower = max(lower, base)
        # Nearly seen: to look for the place from where calls were refused would only cost more refusals.
        memory["refused_at"] = min(law.limit, max(int(interval.served), int(lower)) + 2)
    return law.model_copy(
        update={
            **memory,
            "limit": max(1, int(lower)),
            "base_limit": None,
            "unmoved": unmoved,
            "first_cut_from": law.first_cut_from if unmoved else law.limit,
            "pause": FIRST_TRY_S,
            "next_try": now + FIRST_TRY_S,
        }
    )


def _recover(law: Law, interval: Interval, now: float) -> Law:
    """A fixed limit after a cut: step by step to just under where calls were refused, and above that from time to time."""
    if law.limit >= law.ceiling or not interval.ok:
        return law
    proved = law.model_copy(update={"base_limit": law.limit})
    if law.phase is Phase.TRY:
        # Nothing was refused a step higher: what was remembered is out of date.
        return _up(proved.model_copy(update={"refused_at": None, "pause": FIRST_TRY_S}), now)
    if law.phase is Phase.HOLD:
        return _try(proved, now, downwards=False) if now >= law.next_try else proved
    return _up(proved, now)


def _double(law: Law, interval: Interval, now: float) -> Law:
    proved = _proved(law, interval)
    if law.base_limit is not None and law.limit > law.base_limit:
        if _obscured(law, interval):
            return _waiting(law)
        if _gain(law, interval) < START_GAIN:
            # Little's law again: what was gained is what so many calls at the former latency would have given.
            knee = law.base_in_flight * max(1.0, interval.rate / law.base_rate)
            update = {"limit": min(law.limit, round(1.1 * knee)), "phase": Phase.CLIMB, "base_limit": None}
            return law.model_copy(update=update)
    if law.limit >= law.ceiling:
        return _found(proved, now)
    return proved.model_copy(update={"limit": min(law.ceiling, 2 * law.limit)})


def _climb(law: Law, interval: Interval, now: float) -> Law:
    proved = _proved(law, interval)
    if law.base_limit is None:
        return _up(proved, now)
    if _obscured(law, interval):
        return _waiting(law)
    if law.limit == law.base_limit:
        return _up(proved, now)
    gain = _gain(law, interval)
    if gain < STEP_GAIN:
        return _found(law.model_copy(update={"limit": law.base_limit}), now)
    return _up(proved, now, step=LONG_STEP if gain >= START_GAIN and law.refused_at is None else STEP)


def _hold(law: Law, interval: Interval, now: float) -> Law:
    known = law.base_limit == law.limit and law.base_rate > 0
    if known and _obscured(law, interval):
        return _waiting(law)
    weight = 0.3 if known else 1.0
    held = law.model_copy(
        update={
            "base_limit": law.limit,
            "base_rate": law.base_rate + weight * (interval.rate - law.base_rate),
            "base_in_flight": law.base_in_flight + weight * (interval.in_flight - law.base_in_flight),
        }
    )
    return _try(held, now, downwards=law.downwards) if now >= law.next_try else held


def _judge(law: Law, interval: Interval, now: float) -> Law:
    """A step was tried. Fewer calls at once that give the same are better, as more that give more."""
    assert law.base_limit is not None
    if _obscured(law, interval):
        return _waiting(law)
    proved = _proved(law, interval).model_copy(update={"pause": FIRST_TRY_S})
    if law.limit > law.base_limit:
        if _gain(law, interval) >= STEP_GAIN:
            return _up(proved.model_copy(update={"refused_at": None}), now)
    elif _gain(law, interval) < STEP_GAIN:
        return _found(proved.model_copy(update={"downwards": True}), now, at_once=True)
    pause = min(LAST_TRY_S, 2 * law.pause)
    return law.model_copy(
        update={
            "limit": law.base_limit,
            "phase": Phase.HOLD,
            "downwards": law.limit > law.base_limit,
            "pause": pause,
            "next_try": now + pause,
        }
    )


def _proved(law: Law, interval: Interval) -> Law:
    return law.model_copy(
        update={
            "base_limit": law.limit,
            "base_rate": interval.rate,
            "base_in_flight": interval.in_flight,
        }
    )


def _obscured(law: Law, interval: Interval) -> bool:
    """Whether a rate tells nothing of the limit, since the calls under way don't follow it: slots are held by a predictor that
    has died. For some intervals; then a higher limit is none that is used."""
    assert law.base_limit is not None
    if law.waited >= MOST_WAITED:
        return False
    if law.limit > law.base_limit:
        return interval.in_flight <= law.base_in_flight
    if law.limit == law.base_limit:
        return interval.in_flight < USED_SHARE * law.base_in_flight
    return not USED_SHARE * law.base_in_flight < interval.in_flight < law.base_in_flight


def _waiting(law: Law) -> Law:
    return law.model_copy(update={"waited": law.waited + 1})


def _gain(law: Law, interval: Interval) -> float:
    """The rate's change as a share of the calls' in flight: 1 where calls do not disturb each other, 0 where more give nothing."""
    if not law.base_rate or not law.base_in_flight:
        return 1.0
    assert law.base_limit is not None
    if (interval.in_flight > law.base_in_flight) != (law.limit > law.base_limit):
        return 0.0  # the limit made no difference
    return (interval.rate / law.base_rate - 1) / (interval.in_flight / law.base_in_flight - 1)


def _up(law: Law, now: float, *, step: int = STEP) -> Law:
    """A step up from a limit that has proved itself, or half of the way to where calls were refused; found where that is close."""
    higher = law.limit + max(1, law.limit // step)
    if law.refused_at is not None and higher >= law.refused_at:
        higher = (law.limit + law.refused_at) // 2
        if higher - law.limit < max(1, law.limit // CLOSE):
            return _found(law, now)
    if law.limit >= law.ceiling:
        return _found(law, now)
    return law.model_copy(update={"limit": min(law.ceiling, higher), "phase": Phase.CLIMB})


def _found(law: Law, now: float, *, at_once: bool = False) -> Law:
    pause = law.pause * (REFUSED_PAUSES if law.refused_at is not None else 1)
    return law.model_copy(update={"phase": Phase.HOLD, "next_try": now + (0.0 if at_once else pause)})


def _try(law: Law, now: float, *, downwards: bool) -> Law:
    """One step away from what is held, or half of the way to where calls were refused."""
    if downwards:
        target = max(1, law.limit - max(1, law.limit // STEP))
    else:
        target = law.limit + max(1, law.limit // STEP)
        if law.refused_at is not None and law.refused_at > law.limit:
            target = min(target, (law.limit + law.refused_at + 1) // 2)
        target = min(law.ceiling, target)
    if target == law.limit:
        return law.model_copy(update={"downwards": not downwards, "next_try": now + law.pause})
    return law.model_copy(update={"limit": target, "phase": Phase.TRY, "downwards": downwards})


class Window:
    """Gathers replicas' reports into the interval that a decision needs; begins again with each change of the limit."""

    def __init__(self) -> None:
        self._latency_s = 0.25
        self._heard_at: dict[str, float] = {}  # replica -> its last report
        self.begin()

    def begin(self, settled_at: float = 0.0) -> None:
        """A new interval, of what happens after `settled_at`."""
        self._settled_at = self._refusals_at = settled_at
        # replica -> [seconds, integral of calls in flight]: since the limit settled, and since refusals count
        self._spans: dict[str, list[float]] = {}
        self._first_spans: dict[str, list[float]] = {}
        self._beside: dict[str, int] = {}
        self._told_since: set[str] | None = None  # replicas that have reported since the first that was refused
        self._answered = self._refused = self._timeouts = 0
        self._ok = 0
        self._ok_s = 0.0

    def restart(self, now: float, *, lowered: bool, hold_s: float = 0.0) -> None:
        """The limit has changed: the latency of calls that began under the former one tells nothing of this. What is refused
        after a raise counts at once; what is refused just after a cut belongs to the episode that is over."""
        settle_s = max(0.25, 1.25 * self._latency_s)
        self.begin(now + hold_s + (max(1.0, 2 * settle_s) if lowered else settle_s))
        self._refusals_at = self._settled_at if lowered else now

    def add(self, report: PacingReport, now: float) -> None:
        self._heard_at[report.replica] = now
        self._heard_at = {replica: at for replica, at in self._heard_at.items() if now - at < GONE_S}
        if report.ok:
            self._latency_s = report.ok_s / report.ok
        began = now - report.span_s
        if began >= self._refusals_at - 0.05:
            self._answered += report.ok
            self._refused += report.refused
            self._timeouts += report.timeouts
            if self._told_since is not None:
                self._told_since.add(report.replica)
            elif report.refused:
                self._told_since = set()
            _extend(self._first_spans, report)
            if report.beside is not None:
                self._beside[report.replica] = min(report.beside, self._beside.get(report.replica, report.beside))
        if began < self._settled_at:
            return
        _extend(self._spans, report)
        self._ok += report.ok
        self._ok_s += report.ok_s

    def interval(self) -> Interval:
        spans = self._spans or self._first_spans
        in_flight = {replica: busy / seconds for replica, (seconds, busy) in spans.items() if seconds}
        return Interval(
            # The replica that told least: without it the calls in flight would be a part of them.
            seconds=min((self._spans.get(replica, [0.0])[0] for replica in self._heard_at), default=0.0),
            ok=self._answered,
            refused=self._refused,
            timeouts=self._timeouts,
            in_flight=sum(in_flight.values()),
            served=sum({**in_flight, **self._beside}.values()) if self._beside else None,
            latency_s=self._ok_s / self._ok if self._ok else None,
        )

    def ready(self, law: Law, now: float) -> bool:
        """Whether the interval tells enough: all calls of one round at least, two where a step is judged; less of refusals."""
        interval = self.interval()
        finished = interval.ok + interval.refused + interval.timeouts
        if overloaded(law, interval, now):
            # One refusal ends a step up; a limit that has held is not given up for that. After a doubling it matters how many
            # were served, which only those know who have heard of all that was refused.
            if law.phase is Phase.START and interval.refused:
                return self._told_since is not None and self._told_since >= self._heard_at.keys()
            return law.phase in (Phase.CLIMB, Phase.TRY) or finished >= 2 * MIN_CALLS
        latency_s = interval.latency_s or self._latency_s
        rounds = 1 if law.phase is Phase.START else 2
        least_s = max(MIN_SPAN_S if law.phase is Phase.START else HOLD_SPAN_S, rounds * latency_s)
        return interval.seconds >= least_s and self._ok >= max(MIN_CALLS, rounds * interval.in_flight / 2)


def _extend(spans: dict[str, list[float]], report: PacingReport) -> None:
    span = spans.setdefault(report.replica, [0.0, 0.0])
    span[0] += report.span_s
    span[1] += report.busy_s
