"""The bleu scorer: `sacrebleu` (Post 2018, 'A Call for Clarity in Reporting BLEU Scores', arXiv:1804.08771), in 0..1.

An item's score is its sentence's BLEU with effective order and exponential smoothing; the evaluation's is that of all answers together, as
`sacrebleu.corpus_bleu` gives it, from the sums of the sentences' statistics: both lengths, and the n-grams in common and in the answer
for n from 1 to 4. For worker processes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sacrebleu.metrics.bleu import BLEU

from services.scorer.scorers.score import Score, golds
from shared.scoring import BleuScoring

ORDER = 4


@lru_cache(maxsize=8)
def _bleu(tokenize: str, lowercase: bool) -> BLEU:
    return BLEU(tokenize=tokenize, lowercase=lowercase, effective_order=True, force=True)


def score(output: str, target: str, scoring: BleuScoring, hints: Mapping[str, Any]) -> Score:
    """`scores` has `sentence_bleu`; `statistics` is what `corpus` takes the sums of."""
    found = _bleu(scoring.tokenize, scoring.lowercase).sentence_score(output, golds(target, scoring, hints))
    value = _share(found.score)
    statistics = [int(count) for count in (found.sys_len, found.ref_len, *found.counts, *found.totals)]
    prediction = output.strip() or None
    return Score(
        prediction, target.strip(), value >= scoring.threshold, {"sentence_bleu": value}, statistics=statistics
    )


def corpus(sums: list[int], scoring: BleuScoring) -> dict[str, float]:
    """`{"bleu": ...}` of all answers together."""
    sys_len, ref_len, *counts = sums
    found = BLEU.compute_bleu(counts[:ORDER], counts[ORDER:], sys_len, ref_len, smooth_method="exp")
    return {"bleu": _share(found.score)}


def check_target(target: str, scoring: BleuScoring, hints: Mapping[str, Any]) -> str | None:
    bleu = _bleu(scoring.tokenize, scoring.lowercase)
    if all(bleu.sentence_score("", [gold]).ref_len for gold in golds(target, scoring, hints)):
        return None
    return "the target has no word for an answer's to be compared with"


def _share(score: float) -> float:
    """Of 0..100 as of 0..1; what is equal comes to a little more than 100 by rounding."""
    return min(1.0, float(score) / 100)
