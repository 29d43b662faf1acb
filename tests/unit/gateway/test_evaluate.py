"""Which tab a model is in, which tab opens, and what estimates are based on."""

from typing import Any

import pytest

from gateway.web.estimate import earlier
from gateway.web.evaluate import first_tab, tabs_of
from gateway.web.model_fields import BLANK, LIMITS
from gateway.web.models import again
from shared.api import Evaluation, Model
from shared.contracts import ModelSource, ModelStatus


def model(name: str, source: ModelSource, status: ModelStatus) -> Model:
    return BLANK.model_copy(update={"id": name, "source": source, "status": status})


LIVE = model("live", ModelSource.TRAINED, ModelStatus.RUNNING)
AWAY = model("away", ModelSource.TRAINED, ModelStatus.UNREACHABLE)
OWN = model("own", ModelSource.RUNNING, ModelStatus.UNREACHABLE)


def test_running_holds_what_is_live_whatever_its_source() -> None:
    assert tabs_of(LIVE) == ["trained", "running"]
    assert tabs_of(AWAY) == ["trained"]
    assert tabs_of(OWN) == ["running"]
    assert tabs_of(model("both", ModelSource.RUNNING, ModelStatus.RUNNING)) == ["running"]


@pytest.mark.parametrize(
    ("asked", "models", "chosen", "tab"),
    [
        ("platform", [LIVE], ["live"], "platform"),
        ("nonsense", [LIVE], [], "running"),
        (None, [AWAY], [], "trained"),
        (None, [LIVE, AWAY], ["away"], "trained"),
        (None, [LIVE, AWAY], ["not there"], "running"),
        (None, [], [], "running"),
    ],
)
def test_the_tab_that_opens(asked: str | None, models: list[Model], chosen: list[str], tab: str) -> None:
    assert first_tab(asked, models, chosen) == tab


def row(number: int, phase: str = "dev", **metrics: Any) -> dict[str, Any]:
    return {"number": number, "model": "m", "model_name": "M", "judge": "j", "phase": phase, "metrics": metrics}


def test_the_newest_measured_evaluation_counts() -> None:
    tokens = {"prompt": 900, "completion": 90, "total": 990, "unreported": 1}
    judge = {"asked": 20, "tokens": {"prompt": 4000, "completion": 60, "total": 4060, "unreported": 0}}
    found = earlier(
        [
            row(4, called=0, tokens={"prompt": 0, "completion": 0, "total": 0, "unreported": 0}),
            row(3, called=10, tokens=tokens, latency_ms={"mean": 200.0}, judge=judge),
            row(2, called=10, tokens=tokens, latency_ms={"mean": 999.0}),
            row(
                1, "test", called=5, tokens={"prompt": 0, "completion": 0, "total": 0, "unreported": 5}, latency_ms=None
            ),
            {"number": 0, "model": "m", "model_name": "M", "phase": "old", "metrics": None},
        ]
    )
    assert [entry["number"] for entry in found] == [3, 1]
    assert (found[0]["tokens"], found[0]["latency_ms"]) == ({"prompt": 100, "completion": 10}, 200.0)
    assert (found[0]["judge"], found[0]["judge_tokens"]) == ("j", {"prompt": 200, "completion": 3})
    (totals_alone,) = earlier([row(5, called=10, tokens={"prompt": 0, "completion": 0, "total": 990, "unreported": 0})])
    assert totals_alone["tokens"] is None
    assert [found[1][name] for name in ("tokens", "judge", "judge_tokens", "latency_ms")] == [None] * 4


def test_the_form_offers_what_the_api_takes() -> None:
    assert {limit.name: limit.default for limit in LIMITS}["timeout_s"] == "120"
    assert {limit.name: limit.default for limit in LIMITS}["requests_per_minute"] == ""


def test_run_again_fills_in_what_differs_from_the_usual() -> None:
    evaluation = Evaluation.model_validate(
        {
            "id": "e1", "number": 1, "group": "g", "status": "completed", "model": "m1", "model_name": "M",
            "environment": "word-problems", "environment_version": "v", "environment_title": "T", "phase": "dev set",
            "limit": 1, "created_at": "2026-01-02T03:04:05Z", "progress": {"total": 1},
        }
    )  # fmt: skip
    assert again(evaluation) == "/environments/word-problems/evaluate?models=m1&phase=dev+set&limit=1"
