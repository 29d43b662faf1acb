"""The rouge scorer: Google's `rouge_score` (the measure of Lin 2004, 'ROUGE: A Package for Automatic Evaluation of Summaries').

F-measures of common words (`rouge1`), pairs of words (`rouge2`) and the longest common subsequence (`rougeL`; `rougeLsum` line by line),
each the best of all gold answers. Its words are of the letters a to z and digits, nothing else. For worker processes: the subsequence
takes time and memory that grow with the product of both lengths.
"""

import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from services.scorer.scorers.score import Score, golds
from shared.scoring import RougeScoring

# rouge_score takes a stemmer from NLTK, which also loads classifiers, and with them SciPy and scikit-learn: 1.5 instead of 0.3 s of
# CPU time and 150 MB. It does without where they are not there.
_NOT_NEEDED = {name: None for name in ("scipy", "sklearn") if name not in sys.modules}
sys.modules.update(_NOT_NEEDED)  # type: ignore[arg-type]
try:
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import DefaultTokenizer
finally:
    for _name in _NOT_NEEDED:
        del sys.modules[_name]


_ALWAYS = ("rouge1", "rouge2", "rougeL")


@lru_cache(maxsize=8)
def _scorer(variant: str, stemmer: bool) -> RougeScorer:
    return RougeScorer(list(dict.fromkeys((*_ALWAYS, variant))), use_stemmer=stemmer)


def score(output: str, target: str, scoring: RougeScoring, hints: Mapping[str, Any]) -> Score:
    """`scores` has the F-measures of `rouge1`, `rouge2`, `rougeL` and the scoring's own variant."""
    found = _scorer(scoring.variant, scoring.stemmer).score_multi(golds(target, scoring, hints), output)
    scores = {name: float(each.fmeasure) for name, each in found.items()}
    correct = scores[scoring.variant] >= scoring.threshold
    return Score(output.strip() or None, target.strip(), correct, scores)


def check_target(target: str, scoring: RougeScoring, hints: Mapping[str, Any]) -> str | None:
    tokenizer = DefaultTokenizer(scoring.stemmer)
    if all(tokenizer.tokenize(gold) for gold in golds(target, scoring, hints)):
        return None
    return "the target has no word of the letters a to z or digits, and ROUGE compares no others; for other scripts take bleu"
