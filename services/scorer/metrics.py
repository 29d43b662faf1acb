"""The numbers of an evaluation, from its results in one pass.

With `total` = all samples and `called` = `total` - `infra_error`:

- `accuracy` = correct / called; `answer_rate` = non-empty outputs / called; `coverage` = called / total; `exact_match` = extracted
  prediction equals extracted target as text, trimmed / called; `scores` = mean of each per-item score over called, where what has
  no score (a model error, an empty answer) counts 0; `overall_score` = the main metric. Beside them stand scores over all answers
  together, which have neither bounds nor interval: such as corpus BLEU, made of the sums of the called results' `statistics`, and pass@k;
  `corpus` lists them.
- `bounds`, where coverage is under 1: `[worst, best]` of each rate over `total`, were every `infra_error` wrong or right. A score
  outside 0..1 has no such bounds: null.
- `accuracy_stderr`: the standard error clustered by item (Miller 2024, 'Adding Error Bars to Evals', arXiv:2411.00640, sections
  2.1, 2.2 and 3.1), with the usual correction for few clusters:
  SE^2 = G / (G - 1) * sum over items g of (c_g - k_g * p)^2 / N^2, where item g has k_g called samples, c_g of them correct, there are
  G items with k_g > 0, N = sum k_g and p = accuracy. With one sample an item this is p (1 - p) / (N - 1), the central limit
  theorem's; with equally many an item, the standard error of the items' means. Null for G < 2.
- `accuracy_ci95`: Wilson's score interval (Wilson 1927, J. Am. Stat. Assoc. 22:209-212), z = 1.95996..., which unlike p +- z * SE stays in
  0..1 and keeps its width where all answers are right or all are wrong. With several samples an item it is taken over the
  effective number of samples, N / deff with Kish's design effect deff = SE^2 / (p (1 - p) / (N - 1)) >= 1 (Kish 1965, 'Survey Sampling',
  section 8.2; the interval as in Korn and Graubard 1998, Survey Methodology 24:193-201, with Wilson's form); where p is 0 or 1
  the data cannot show the effect and G is the effective number.
- `intervals`: 95 % intervals in the shape of `bounds`. Those of rates are as `accuracy_ci95`. The standard error of a score is that of
  accuracy with the sum of an item's scores for c_g and the mean m for p. Within 0..1, where no variance is above m (1 - m) (Bhatia and
  Davis 2000, Am. Math. Monthly 107:353-357), its interval is Wilson's with N / (N - 1) * m (1 - m) / SE^2 as the effective number, and G where
  all are alike; a score outside 0..1 has m +- z * SE (Miller 2024, section 2.1).
- `items_per_s` = results / (last `landed_at` - first `started_at`).
- `latency_ms`, `ttft_ms`: of called results that have one; percentiles interpolated linearly (Hyndman and Fan 1996, type 7).
- `tokens`: as the endpoint counted them; `unreported` = results with a call but no count, so that the sums are too small.
- `cost` in US dollars, of those tokens at the price that the model had when the evaluation was started; null where that is not known, or
  an answer came without a count.
- `retries` = calls beyond the first of each result.
- `judge`, where a model judges: `asked` = questions to it, `unread` = answers of which no verdict could be read, its `tokens`, `attempts` and
  `latency_ms` as above, and beside it `judge_cost`. They are in none of the figures of the evaluated model.

- Where of a called result nothing is claimed (`correct` is None: a program scores, and the item has no target), `accuracy`,
  `correct` and `exact_match` are null, with all that belongs to them.

Rates are fractions, null where nothing was called; no value is rounded. Counts are exact integers, and sums of floats go through
`math.fsum`, so that the same results give the same bits.
"""

from array import array
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import fsum, isfinite, sqrt
from statistics import NormalDist
from typing import Any

from services.scorer.passes import Passes
from services.scorer.tokens import Tokens

Z95 = NormalDist().inv_cdf(0.975)

RATES = ("accuracy", "exact_match", "answer_rate")

Rate = float | None
Price = Mapping[str, float | None] | None
Interval = list[float] | None


class Metrics:
    """Accumulates results and gives the metrics. Memory: a handful of numbers, and 8 bytes a result for each measured column.

    `price` and `judge_price` are `input` and `output` in US dollars per million tokens; with `passes` there is pass@k among the scores.
    """

    def __init__(
        self,
        total: int,
        *,
        price: Price = None,
        judged: bool = False,
        judge_price: Price = None,
        passes: Passes | None = None,
    ) -> None:
        self._total = total
        self._price, self._judge_price = price, judge_price
        self._judge = _Judge() if judged else None
        self._passes = passes
        self._outcomes = {"scored": 0, "no_answer": 0, "model_error": 0, "infra_error": 0}
        self._clusters = _Clusters()
        self._scores: dict[str, array[float]] = {}
        self._columns: dict[str, array[float]] = {"latency_ms": array("d"), "ttft_ms": array("d")}
        self._tokens = Tokens()
        self._attempts = 0
        self._retries = 0
        self._claims = True
        self._first_start: float | None = None
        self._last_landing: float | None = None
        self._last: tuple[int, int] = (-1, -1)
        self.statistics: list[int] = []
        """The sums of the called results' `statistics`, number by number; empty where they have none."""

    def add(self, result: Mapping[str, Any]) -> None:
        """Take one result, as it stands in MongoDB, in the order of (index, sample).

        Raises ValueError where the order is broken, a sample comes twice, or a score is not a finite number.
        """
        place = (result["index"], result["sample"])
        if place <= self._last:
            raise ValueError(
                f"results must come in the order of (index, sample), each once: {place} came after {self._last}"
            )
        self._last = place
        outcome = str(result["outcome"])
        self._outcomes[outcome] += 1
        self._add_calls(result)
        if self._judge:
            self._judge.add(result.get("judge") or [], judged=outcome == "scored")
        if outcome == "infra_error":
            return
        for name, column in self._columns.items():
            if (value := result.get(name)) is not None:
                column.append(value)
        self._clusters.add(result["index"])
        if self._passes:
            self._passes.add(result["index"], correct=outcome == "scored" and bool(result["correct"]))
        self._claims = self._claims and result["correct"] is not None
        if statistics := result.get("statistics"):
            sums = self.statistics or [0] * len(statistics)
            self.statistics = [total + more for total, more in zip(sums, statistics, strict=True)]
        if outcome == "scored":
            self._add_scores(result)

    def _add_scores(self, result: Mapping[str, Any]) -> None:
        prediction, target = result["prediction"], result["target"]
        is_exact = prediction is not None and target is not None and prediction.strip() == target.strip()
        self._clusters.count("accuracy", int(bool(result["correct"])))
        self._clusters.count("exact_match", int(is_exact))
        self._clusters.count("answer_rate", 1)
        for name, value in (result["scores"] or {}).items():
            if not isfinite(value):
                raise ValueError(
                    f"score {name!r} of item {result['item_id']!r} is {value}, which is not a finite number"
                )
            self._scores.setdefault(name, array("d")).append(value)
            self._clusters.count(f"scores.{name}", value)

    def _add_calls(self, result: Mapping[str, Any]) -> None:
        attempts = result["attempts"]
        self._attempts += attempts
        self._retries += max(attempts - 1, 0)
        started, landed = result["started_at"], result["landed_at"]
        if started is not None and (self._first_start is None or started < self._first_start):
            self._first_start = started
        if landed is not None and (self._last_landing is None or landed > self._last_landing):
            self._last_landing = landed
        self._tokens.add(result["usage"], attempts, answered=result["outcome"] in ("scored", "no_answer"))

    def finish(self, main_metric: str = "accuracy", corpus: Mapping[str, float] | None = None) -> dict[str, Any]:
        """The metrics as JSON-able values. `main_metric` names `accuracy`, `exact_match`, `answer_rate`, a per-item score or one of `corpus`: those
        that were computed from `statistics`.

        Raises ValueError where results are missing or too many, or where no scored result has the main metric.
        """
        done = sum(self._outcomes.values())
        if done != self._total:
            raise ValueError(f"{done} results came for {self._total} samples")
        counts = {name: int(self._clusters.total(name)) for name in RATES}
        infra = self._outcomes["infra_error"]
        called = self._total - infra
        rates = {name: _rate(count, called) for name, count in counts.items()}
        scores = {name: _rate(fsum(self._scores[name]), called) for name in sorted(self._scores)}
        over_all: dict[str, float | None] = {**(corpus or {}), **(self._passes.finish() if self._passes else {})}
        main = rates | scores | over_all
        if main_metric not in main:
            if self._outcomes["scored"]:
                raise ValueError(f"no result has the main metric {main_metric!r}; there are {', '.join(main)}")
            main[main_metric] = _rate(0, called)
        intervals: dict[str, Any] = {name: self._interval(name, rates[name]) for name in RATES}
        score_intervals = {name: self._interval(f"scores.{name}", scores[name]) for name in scores}
        intervals["overall_score"] = (intervals | score_intervals).get(main_metric)
        metrics: dict[str, Any] = {
            "total": self._total,
            "called": called,
            "correct": counts["accuracy"],
            **self._outcomes,
            "overall_score": main[main_metric],
            **rates,
            "coverage": _rate(called, self._total),
            "scores": scores | over_all,
            "accuracy_stderr": self._clusters.error("accuracy")[0],
            "accuracy_ci95": intervals["accuracy"],
            "intervals": intervals | {"scores": score_intervals | dict.fromkeys(over_all)},
            "items_per_s": self._items_per_s(done),
            **{name: _spread(column) for name, column in self._columns.items()},
            "tokens": dict(self._tokens.counts),
            "cost": self._tokens.cost(self._price),
            "attempts": self._attempts,
            "retries": self._retries,
        }
        if over_all:
            metrics["corpus"] = sorted(over_all)
        if self._judge:
            metrics["judge"] = self._judge.finish()
            metrics["judge_cost"] = self._judge.tokens.cost(self._judge_price)
        if infra:
            score_bounds: dict[str, Interval] = {
                name: _score_bounds(self._scores[name], infra, self._total) for name in scores
            }
            score_bounds |= dict.fromkeys(over_all)
            bounds: dict[str, Any] = {
                name: [count / self._total, (count + infra) / self._total] for name, count in counts.items()
            }
            bounds["overall_score"] = (bounds | score_bounds).get(main_metric, [0.0, infra / self._total])
            metrics["bounds"] = bounds | {"scores": score_bounds}
        return metrics if self._claims else _without_claims(metrics)

    def _interval(self, column: str, mean: Rate) -> Interval:
        """Of a rate or, as `scores.<name>`, of a score."""
        name = column.removeprefix("scores.")
        values = self._scores.get(name) if name != column else None
        stderr, effective = self._clusters.error(column, is_rate=values is None)
        if mean is None or effective is None:
            return None
        if values is None or (min(values) >= 0 and max(values) <= 1):
            return wilson(mean, effective)
        return None if stderr is None else [mean - Z95 * stderr, mean + Z95 * stderr]

    def _items_per_s(self, done: int) -> float | None:
        if self._first_start is None or self._last_landing is None or self._last_landing <= self._first_start:
            return None
        return done / (self._last_landing - self._first_start)


class _Judge:
    """What the judge was asked, and what that took."""

    def __init__(self) -> None:
        self._asked = self._unread = self._attempts = 0
        self.tokens = Tokens()
        self._latency_ms = array("d")

    def add(self, verdicts: Sequence[Mapping[str, Any]], *, judged: bool) -> None:
        """The verdicts on one result, in the order in which they were asked for; `judged` where they are all."""
        for verdict in verdicts:
            self._asked += 1
            self._attempts += verdict["attempts"]
            self.tokens.add(verdict["usage"], verdict["attempts"], answered=verdict["score"] is not None)
            if verdict["latency_ms"] is not None:
                self._latency_ms.append(verdict["latency_ms"])
        # One without any has a rubric that could not be rendered with it.
        self._unread += judged and (not verdicts or verdicts[-1]["score"] is None)

    def finish(self) -> dict[str, Any]:
        return {
            "asked": self._asked,
            "unread": self._unread,
            "attempts": self._attempts,
            "tokens": dict(self.tokens.counts),
            "latency_ms": _spread(self._latency_ms),
        }


class _Clusters:
    """The clustered standard errors of means, from sums over items: sum c^2, sum c k and sum k^2 suffice for
    N^2 * sum (c - k p)^2 = N^2 sum c^2 - 2 N C sum c k + C^2 sum k^2, with C = sum c. Of whole numbers they are exact."""

    def __init__(self) -> None:
        self._index: int | None = None
        self._called = 0
        self._counted: dict[str, float] = {}
        self._items = self._sum_k = self._sum_kk = 0
        self._sums: dict[str, tuple[float, float, float]] = {}

    def add(self, index: int) -> None:
        """A called sample of an item; items come one after the other."""
        if index != self._index:
            self._close()
            self._index = index
        self._called += 1

    def count(self, column: str, value: float) -> None:
        """What that sample has in a column; where nothing is said it is 0."""
        self._counted[column] = self._counted.get(column, 0) + value

    def _close(self) -> None:
        k = self._called
        self._items += k > 0
        self._sum_k += k
        self._sum_kk += k * k
        for column, c in self._counted.items():
            sum_c, sum_ck, sum_cc = self._sums.get(column, (0, 0, 0))
            self._sums[column] = (sum_c + c, sum_ck + c * k, sum_cc + c * c)
        self._called = 0
        self._counted = {}

    def total(self, column: str) -> float:
        self._close()
        return self._sums.get(column, (0, 0, 0))[0]

    def error(self, column: str, *, is_rate: bool = True) -> tuple[float | None, float | None]:
        """Standard error (None below two items), and the effective number of samples (None where nothing was called)."""
        self._close()
        items, n = self._items, self._sum_k
        c, ck, cc = self._sums.get(column, (0, 0, 0))
        if n == 0:
            return None, None
        if items < 2:
            return None, float(items)
        squares = n * n * cc - 2 * n * c * ck + c * c * self._sum_kk
        if not is_rate:
            # Floats leave a rest of their rounding where all are alike.
            variance = items / (items - 1) * squares / n**4 if squares > 1e-12 * n * n * cc else 0.0
            mean = c / n
            return sqrt(variance), n / (n - 1) * mean * (1 - mean) / variance if variance and 0 < mean < 1 else float(
                items
            )
        exact = Fraction(items * int(squares), (items - 1) * n**4)
        if c in (0, n):
            return 0.0, float(items)
        simple = Fraction(int(c * (n - c)), n * n * (n - 1))
        return sqrt(exact), float(n / max(exact / simple, Fraction(1)))


def wilson(rate: float, n: float) -> list[float]:
    """Wilson's 95 % score interval of a proportion `rate` among `n` > 0 (possibly effective) trials, as `[low, high]`."""
    scale = 1 + Z95**2 / n
    centre = (rate + Z95**2 / (2 * n)) / scale
    half = Z95 * sqrt(rate * (1 - rate) / n + Z95**2 / (4 * n * n)) / scale
    return [0.0 if rate == 0 else max(0.0, centre - half), 1.0 if rate == 1 else min(1.0, centre + half)]


def _without_claims(metrics: dict[str, Any]) -> dict[str, Any]:
    unknown: dict[str, Any] = dict.fromkeys(("accuracy", "exact_match"))
    known: dict[str, Any] = {kind: {**metrics[kind], **unknown} for kind in ("intervals", "bounds") if kind in metrics}
    return {
        **metrics,
        **unknown,
        "correct": None,
        "overall_score": None,
        "accuracy_stderr": None,
        "accuracy_ci95": None,
        **known,
    }


def _rate(part: float, whole: int) -> Rate:
    return part / whole if whole else None


def _score_bounds(column: "array[float]", infra: int, total: int) -> Interval:
    if min(column) < 0 or max(column) > 1:
        return None
    known = fsum(column)
    return [known / total, (known + infra) / total]


def _spread(column: "array[float]") -> dict[str, float] | None:
    """Median, 95th percentile, mean and maximum; None for an empty column."""
    if not column:
        return None
    ordered = array("d", sorted(column))
    return {
        "p50": _percentile(ordered, 0.5),
        "p95": _percentile(ordered, 0.95),
        "mean": fsum(ordered) / len(ordered),
        "max": ordered[-1],
    }


def _percentile(ordered: "array[float]", fraction: float) -> float:
    at = (len(ordered) - 1) * fraction
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)
