"""Lists of models as endpoints give them."""

import json
from typing import Any

import pytest

from services.predictor.listing import MAX_NAMES, in_short, lists, names_of, read_cards

OLLAMA = {"object": "list", "data": [{"id": "qwen2.5:latest", "object": "model", "created": 1, "owned_by": "library"}]}
LLAMA_CPP = {
    "models": [{"name": "m.gguf", "model": "m.gguf"}],
    "object": "list",
    "data": [{"id": "m.gguf", "object": "model", "owned_by": "llamacpp", "meta": {"n_params": 8030261312}}],
}


@pytest.mark.parametrize(
    ("document", "names"),
    [
        (OLLAMA, ["qwen2.5:latest"]),
        (LLAMA_CPP, ["m.gguf"]),
        ([{"id": "a"}, {"id": "b"}, {"id": "a"}], ["a", "b"]),
        ({"data": []}, []),
        ({"data": [{"id": "a"}, {"id": 7}, {"id": ""}, {"id": "\u001b[2J"}, {"id": "x" * 301}, "b", None]}, ["a"]),
        ({"data": [{"id": f"m{at}"} for at in range(MAX_NAMES + 5)]}, [f"m{at}" for at in range(MAX_NAMES)]),
    ],
)
def test_names_are_read(document: Any, names: list[str]) -> None:
    cards = read_cards(json.dumps(document).encode())
    assert cards is not None
    assert names_of(cards) == names


@pytest.mark.parametrize(
    "body", [b"<html>", b"", b"{}", b"7", b'{"data": {}}', b'{"data": [1, 2]}', b'{"items": [], "next": null}', b"null"]
)
def test_what_is_no_list_of_models_is_none(body: bytes) -> None:
    assert read_cards(body) is None


@pytest.mark.parametrize(
    ("names", "model", "listed"),
    [
        (["a", "b"], "b", True),
        (["a", "b"], "c", False),
        (["qwen2.5:latest"], "qwen2.5", True),
        (["qwen2.5:7b"], "qwen2.5", False),
        (["qwen2.5:7b"], "qwen2.5:3b", False),
        (["models/gemini-2.5-flash"], "gemini-2.5-flash", True),
        (["openai/gpt-oss-20b"], "openai/gpt-oss-20b:groq", True),
        ([], "a", False),
    ],
)
def test_a_model_is_found_under_its_other_names(names: list[str], model: str, listed: bool) -> None:
    assert lists(names, model) is listed


def test_a_long_list_is_told_in_short() -> None:
    assert in_short([]) == "none"
    assert in_short([f"m{at}" for at in range(10)]) == "m0, m1, m2, m3, m4, m5, m6, m7 and 2 more"
