"""Which of the models that an endpoint lists are meant."""

import pytest

from services.orchestrator.listed import chosen, spellings
from shared.api import MOST_AT_ONCE
from shared.errors import Invalid


def test_all_are_meant_or_those_that_are_named() -> None:
    assert chosen(["a", "b"], None) == ["a", "b"]
    assert chosen(["a", "b", "c"], ["c", "a", "c"]) == ["c", "a"]


def test_each_name_that_is_not_listed_is_told_with_its_place() -> None:
    with pytest.raises(Invalid) as caught:
        chosen(["a", "b"], ["a", "x", "y"])
    assert caught.value.errors == [
        {"loc": ["models", 1], "msg": "'x' is not listed by the endpoint; there are: a, b"},
        {"loc": ["models", 2], "msg": "'y' is not listed by the endpoint; there are: a, b"},
    ]


def test_none_and_too_many_are_refused() -> None:
    with pytest.raises(Invalid, match="base_url lists no models"):
        chosen([], None)
    many = [f"m{at}" for at in range(MOST_AT_ONCE + 1)]
    with pytest.raises(Invalid, match="models is missing: the endpoint lists 201 models") as caught:
        chosen(many, None)
    assert caught.value.errors[0]["loc"] == ["models"]
    assert chosen(many, many[:2]) == ["m0", "m1"]


def test_an_address_of_this_machine_is_the_same_by_name_and_by_number() -> None:
    both = {"http://localhost:8000/v1", "http://127.0.0.1:8000/v1"}
    assert set(spellings("http://localhost:8000/v1")) == set(spellings("http://127.0.0.1:8000/v1")) == both
    assert spellings("https://api.example.com/v1") == ["https://api.example.com/v1"]
