"""What an evaluation's page offers, by its state."""

from typing import Any

import pytest

from gateway import examples
from gateway.web.evaluation import again, has_scores, tabs
from gateway.web.evaluations import wanted
from shared.api import Evaluation
from shared.contracts import ACTIVE, Status
from shared.errors import Invalid


def evaluation(**fields: Any) -> Evaluation:
    return Evaluation.model_validate({**examples.EVALUATION, **fields})


def test_the_score_breakdown_comes_first_once_there_is_one() -> None:
    assert [(key, address) for key, address, _, _ in tabs(evaluation())][:2] == [
        ("scores", "/evaluations/678"),
        ("log", "/evaluations/678/log"),
    ]


@pytest.mark.parametrize("status", ACTIVE)
def test_while_it_runs_its_address_is_the_log_even_where_an_earlier_round_has_a_score(status: Status) -> None:
    running = evaluation(status=status)
    assert not has_scores(running)
    assert next((key, address) for key, address, _, _ in tabs(running)) == ("log", "/evaluations/678")


def test_the_dataset_has_a_tab_where_there_is_one() -> None:
    assert "dataset" not in [key for key, *_ in tabs(evaluation())]
    dataset = {**examples.FILE, "name": "dataset.jsonl"}
    assert "dataset" in [key for key, *_ in tabs(evaluation(files=[dataset]))]


def test_it_is_run_again_in_the_same_version_and_phase() -> None:
    found = again(evaluation(phase="a phase & more"))
    assert found == "/environments/word-problems@9f2c4b7a1d3e/evaluate?phase=a+phase+%26+more"


def test_the_filter_of_statuses() -> None:
    assert wanted("") is None
    assert wanted("active") == list(ACTIVE)
    assert wanted("failed") == [Status.FAILED]
    with pytest.raises(Invalid, match="status must be one of active, queued"):
        wanted("broken")
