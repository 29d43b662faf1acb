"""The score breakdown's words and figures."""

from gateway.web.scores import facts, overall, rates, segments

METRICS = {
    "total": 100,
    "called": 97,
    "correct": 26,
    "scored": 90,
    "no_answer": 4,
    "model_error": 3,
    "infra_error": 3,
    "overall_score": 26 / 97,
    "accuracy": 26 / 97,
    "coverage": 0.97,
    "accuracy_ci95": [0.19, 0.36],
    "scores": {"f1": 0.4},
    "tokens": {"prompt": 12, "completion": 5, "total": 17, "unreported": 2},
    "retries": 8,
    "bounds": {"accuracy": [0.26, 0.29], "overall_score": [0.26, 0.29], "scores": {"f1": [0.39, 0.42]}},
}


def test_the_overall_score_has_the_interval_of_what_it_is() -> None:
    assert overall(METRICS).interval == (0.19, 0.36)
    other = overall({**METRICS, "overall_score": 0.4})
    assert (other.interval, other.meaning) == (None, "What this environment ranks by.")
    intervals = {"overall_score": [0.3, 0.5], "accuracy": [0.19, 0.36], "answer_rate": [0.9, 1.0], "exact_match": None}
    known = {**METRICS, "overall_score": 0.4, "intervals": intervals}
    assert overall(known).interval == (0.3, 0.5)


def test_rates_say_of_how_many_and_between_what() -> None:
    accuracy, _, _, coverage = rates(METRICS)
    assert accuracy.meaning == "26 correct of 97 that were called."
    assert accuracy.bounds == [0.26, 0.29]
    assert coverage.meaning == "97 of 100 samples could be called."


def test_outcomes_add_up_to_all_samples() -> None:
    assert [(part.kind, part.count) for part in segments(METRICS)] == [
        ("correct", 26),
        ("wrong", 64),
        ("no-answer", 4),
        ("model-error", 3),
        ("infra-error", 3),
    ]


def test_facts_name_the_scores_of_the_environment_and_what_was_not_reported() -> None:
    found = {term: (value, meaning) for term, value, meaning in facts(METRICS)}
    assert found["f1"] == ("0.4", "mean over what was called; between 0.39 and 0.42 over all")
    assert found["Tokens"] == ("17", "12 in, 5 out, 2 calls not reported")
    assert found["Duration"][0] == "\u2014"
    assert "Cost" not in found


def test_facts_say_what_the_model_and_its_judge_cost() -> None:
    judge = {"asked": 97, "unread": 0, "tokens": {"total": 4000}}
    found = {term: value for term, value, _ in facts({**METRICS, "cost": 1.5, "judge": judge, "judge_cost": 0.00214})}
    assert (found["Cost"], found["Judge's tokens"], found["Judge's cost"]) == ("$1.50", "4,000", "$0.0021")


PROGRAM = {
    **METRICS,
    "overall_score": 0.7,
    "accuracy": None,
    "exact_match": None,
    "accuracy_ci95": None,
    "correct": 0,
    "scores": {"ndcg": 0.7},
    "columns": {"unmatched": [], "missing": []},
    "bounds": {"accuracy": None, "overall_score": None, "scores": {"ndcg": None}},
}


def test_a_score_over_all_answers_is_no_mean() -> None:
    metrics = {**METRICS, "scores": {"bleu": 0.5, "sentence_bleu": 0.4}, "corpus": ["bleu"]}
    found = {term: meaning for term, _, meaning in facts(metrics)}
    assert found["bleu"] == "over all answers together"
    assert found["sentence bleu"].startswith("mean over what was called")


def test_what_a_program_scores_claims_nothing_of_single_answers() -> None:
    assert overall(PROGRAM).meaning == "What this environment ranks by, as its scoring program has it."
    assert rates(PROGRAM)[0].meaning == "No answer is compared with a target by itself."
    assert (segments(PROGRAM)[0].kind, segments(PROGRAM)[0].count) == ("scored", 90)
    assert ("ndcg", "0.7", "by the scoring program") in facts(PROGRAM)


def test_a_programs_accuracy_is_told_as_such() -> None:
    assert (
        rates({**PROGRAM, "accuracy": 0.5, "scores": {"accuracy": 0.5}})[0].meaning == "As the scoring program has it."
    )


def test_without_any_metric_nothing_breaks() -> None:
    assert overall({}).value is None
    assert sum(part.count for part in segments({})) == 0
    assert facts({})
