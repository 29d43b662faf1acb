"""How a program's end reads, and what becomes of an evaluation's metrics."""

import pytest

from services.scorer.metrics import Metrics
from services.scorer.programs.run import failed, own_metrics, warnings, with_program
from services.scorer.programs.scores import Matched
from services.scorer.sandbox import Finished
from tests.unit.scorer.programs.test_layout import result


def finished(code: int | None = 0, stopped: str | None = None) -> Finished:
    return Finished(code, stopped, 1.0, 1.0)


TRACEBACK = ["Traceback (most recent call last):", '  File "score.py", line 1', "", "ValueError: bad\x1b"]


@pytest.mark.parametrize(
    ("end", "tail", "image", "message"),
    [
        (finished(), TRACEBACK, None, None),
        (
            finished(3),
            TRACEBACK,
            None,
            "the scoring program ended with code 3; the end of its standard error: "
            'Traceback (most recent call last): | File "score.py", line 1 | ValueError: bad[U+001B]',
        ),
        (finished(1), [], None, "the scoring program ended with code 1, without a word on its standard error"),
        (
            finished(None, "it ran for more than 2 s"),
            [],
            None,
            "the scoring program was stopped: it ran for more than 2 s",
        ),
        (
            finished(1),
            ["ModuleNotFoundError: No module named 'torch.nn'"],
            "codalab/codalab-legacy:gpu",
            "the scoring program needs the Python module 'torch.nn', which is neither in its folder nor installed here; it was made for "
            "the image codalab/codalab-legacy:gpu, which is not used: put it into the folder, or name a Python that has it in "
            "ASSAY_PROGRAM_PYTHON",
        ),
    ],
)
def test_how_it_ended(end: Finished, tail: list[str], image: str | None, message: str | None) -> None:
    assert failed(end, tail, image) == message


def test_warnings() -> None:
    assert warnings(Matched([], [], "a"), {}) == []
    assert warnings(Matched(["a", "b"], ["c"], None), {}) == [
        "Scoring program: no column of the leaderboard shows 'a', 'b'; kept in the scores",
        "Scoring program: it gives no 'c', for which the leaderboard has a column",
    ]
    assert "'model' is a text" in warnings(Matched([], [], "a"), {"model": "a text"})[0]
    assert "'9' and 2 more" in warnings(Matched([str(n) for n in range(12)], [], None), {})[0]


def metrics(**last: object) -> dict[str, object]:
    found = Metrics(2)
    for index in range(2):
        changes = last if index else {}
        found.add(
            {**result(index), "correct": True, "prediction": "1", "target": "1", "scores": {"f1": 0.5}, **changes}
        )
    return found.finish("accuracy")


def test_the_programs_scores_stand_beside_assays() -> None:
    scores = {"ndcg": 0.75, "loss": 3.0}
    found = with_program(metrics(), scores, Matched(["loss"], ["c"], "ndcg"))
    assert found["overall_score"] == 0.75
    assert found["scores"] == {"f1": 0.5, "ndcg": 0.75, "loss": 3.0}
    assert found["accuracy"] == 1.0
    assert found["intervals"]["overall_score"] is None
    assert found["intervals"]["scores"]["ndcg"] is None
    assert found["intervals"]["scores"]["f1"] is not None
    assert found["columns"] == {"unmatched": ["loss"], "missing": ["c"]}


def test_assays_own_metric_may_rank() -> None:
    found = with_program(metrics(), {"a": 1.0}, Matched(["a"], [], "coverage"))
    assert found["overall_score"] == 1.0
    assert with_program(metrics(), {"a": 1.0}, Matched(["a"], ["b"], None))["overall_score"] is None


def test_the_programs_accuracy_is_the_accuracy() -> None:
    found = with_program(metrics(outcome="infra_error"), {"accuracy": 0.25}, Matched([], [], "accuracy"))
    assert (found["accuracy"], found["overall_score"]) == (0.25, 0.25)
    assert found["accuracy_ci95"] is None
    assert found["bounds"]["accuracy"] is found["bounds"]["overall_score"] is None
    assert found["bounds"]["answer_rate"] == [0.5, 1.0]
    percent = with_program(metrics(), {"accuracy": 85.3}, Matched([], [], "accuracy"))
    assert (percent["accuracy"], percent["overall_score"]) == (None, 85.3)


def test_what_assay_measures_by_itself() -> None:
    own = own_metrics({"coverage": 1.0, "accuracy": None, "scores": {"f1": 0.5}, "latency_ms": {"p50": 1.0}})
    assert own == {"coverage", "f1", "duration_s", "overall_score"}
