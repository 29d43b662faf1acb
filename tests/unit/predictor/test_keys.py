"""A key that is in a variable of the predictor's environment."""

import pytest

from services.predictor.answers import CallFailed, Trouble
from services.predictor.endpoint import Endpoint
from services.predictor.keys import KeyMissing, key_in, without_key
from services.predictor.probe import probe
from shared.contracts import ModelEndpoint, ModelStatus
from shared.key_variables import KeyVariables
from shared.networks import Networks
from tests.unit.predictor.test_endpoint import JOB

ALLOWED = KeyVariables(("*_API_KEY",))
MODEL = ModelEndpoint(
    id="m1",
    name="m",
    base_url="http://127.0.0.1:1/v1",
    model="x",
    timeout_s=5,
    connect_timeout_s=5,
    max_concurrency=4,
    max_attempts=1,
)


def test_a_key_is_what_its_variable_holds() -> None:
    assert key_in({"A_API_KEY": "secret-1\n"}, "A_API_KEY", ALLOWED) == "secret-1"


@pytest.mark.parametrize(
    ("environment", "name", "said"),
    [
        ({}, "A_API_KEY", "the variable A_API_KEY, which holds the API key, is not set where the predictor runs"),
        ({"A_API_KEY": " "}, "A_API_KEY", "is not set"),
        ({"A_API_KEY": "secret\x001"}, "A_API_KEY", "the variable A_API_KEY holds no API key"),
        ({"A_SECRET": "secret-1"}, "A_SECRET", r"A_SECRET is not among the variables that may be a key: \*_API_KEY"),
        ({"ASSAY_API_KEY": "secret-1"}, "ASSAY_API_KEY", "one of Assay's own"),
    ],
)
def test_what_is_missing_is_told_by_its_name_and_never_by_its_value(
    environment: dict[str, str], name: str, said: str
) -> None:
    with pytest.raises(KeyMissing, match=said) as caught:
        key_in(environment, name, ALLOWED)
    assert "secret" not in str(caught.value)


async def test_without_its_key_nothing_is_sent_and_the_endpoint_counts_as_unreachable() -> None:
    endpoint = Endpoint(MODEL, None, Networks(loopback=True), "the variable A_API_KEY is not set")
    with pytest.raises(CallFailed, match="the variable A_API_KEY is not set") as caught:
        await endpoint.call(JOB)
    assert (caught.value.retryable, caught.value.trouble) == (True, Trouble.UNREACHABLE)
    found = await probe(endpoint, 5, complete=True)
    assert (found.status, found.detail) == (ModelStatus.UNREACHABLE, "the variable A_API_KEY is not set")


KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("no word of it", "no word of it"),
        (f"Bearer {KEY}, and {KEY}", "Bearer ***, and ***"),
        (f"cut in the midst of {KEY[:11]}", "cut in the midst of ***"),
        (f"with a mark: {KEY[:18]}\u2026", "with a mark: ***"),
        (f"{KEY} {KEY[:8]}", "*** ***"),
        (f"too little to tell: {KEY[:7]}", f"too little to tell: {KEY[:7]}"),
    ],
)
def test_a_key_that_an_endpoint_repeats_is_not_told(said: str, kept: str) -> None:
    assert without_key(said, KEY) == kept


def test_what_is_too_short_to_keep_anybody_out_is_a_word_like_any_other() -> None:
    assert without_key("I run in ollama", "ollama") == "I run in ollama"
    assert without_key("text", None) == "text"
