"""The Evaluate form as the API's body, and errors at their fields."""

import pytest
from starlette.datastructures import FormData, QueryParams

from gateway.web.evaluation_form import FIELDS, Given, body_of, field_of, messages, read
from shared.errors import Conflict, Invalid


def given(**texts: str) -> Given:
    return Given(["m1"], {**dict.fromkeys(FIELDS, ""), **texts})


def test_what_is_empty_is_left_to_the_environment() -> None:
    body, plain = body_of(given(), "word-problems")
    assert plain == {"environment": "word-problems", "models": ["m1"], "params": {}}
    assert body.limit is None


def test_every_field_arrives() -> None:
    texts = {
        "phase": "dev", "limit": " 20 ", "samples_per_item": "3", "priority": "7", "temperature": "0.5", "max_tokens": "64",
        "top_p": "0.9", "seed": "1", "stop": "END\r\n###\n", "other": '{"top_k": 20, "temperature": 2}',
    }  # fmt: skip
    body, plain = body_of(given(**texts), "e")
    assert (body.phase, body.limit, body.samples_per_item, body.priority) == ("dev", 20, 3, 7)
    assert plain["params"] == {
        "temperature": 0.5, "max_tokens": 64, "top_p": 0.9, "seed": 1, "stop": ["END", "###"], "top_k": 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "field", "message"),
    [
        ({"limit": "ten"}, "limit", "must be a whole number"),
        ({"limit": "1.5"}, "limit", "must be a whole number"),
        ({"limit": "0"}, "limit", "greater than or equal to 1"),
        ({"temperature": "nan"}, "temperature", "finite"),
        ({"temperature": "-1"}, "temperature", "greater than or equal to 0"),
        ({"top_p": "2"}, "top_p", "less than or equal to 1"),
        ({"other": "[1]"}, "other", "must be a JSON object"),
        ({"other": '{"top_k": NaN}'}, "other", "finite"),
        ({"other": '{"logit_bias": {"a": "\\ud800"}}'}, "other", "surrogate"),
        ({"priority": "101"}, "priority", "less than or equal to 100"),
    ],
)
def test_what_is_wrong_is_told_at_its_field(texts: dict[str, str], field: str, message: str) -> None:
    with pytest.raises(Invalid) as caught:
        body_of(given(**texts), "e")
    assert message in (messages(caught.value)[field] or "")
    assert [name for name, text in messages(caught.value).items() if text] == [field]


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        body_of(Given([], {**dict.fromkeys(FIELDS, ""), "limit": "x", "seed": "y"}), "e")
    assert {name for name, text in messages(caught.value).items() if text} == {"models", "limit", "seed"}


def test_a_problem_of_no_field_marks_none() -> None:
    assert not any(messages(Conflict("phase dev closed")).values())
    assert field_of({"loc": ["environment"], "msg": "is not there"}) == ""


def test_ids_of_an_address_may_stand_in_one_value_and_are_taken_once() -> None:
    assert read(QueryParams("models=m1,m2&models=m2,,m3&phase=dev")).models == ["m1", "m2", "m3"]
    assert read(QueryParams("phase=dev")).texts["phase"] == "dev"
    assert read(FormData([("models", "m1"), ("models", "m2")])).models == ["m1", "m2"]
