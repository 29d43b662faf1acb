"""The operator's models file: what is right, and what is said of what is wrong."""

import pytest

from services.orchestrator.models_file import MAX_BYTES, PlatformModel, read_models
from shared.errors import Invalid
from shared.key_variables import KeyVariables
from shared.networks import Networks

GOOD = """
models:
  - name: m0.26
    base_url: http://127.0.0.1:8000/v1/
    model: m
    api_key_env: M_API_KEY
    tags: [math]
    price: {input: 0.5, output: 1.5}
  - {name: other, base_url: "http://127.0.0.1:8001/v1", model: n, max_concurrency: auto}
"""


async def read(text: str) -> list[PlatformModel]:
    return await read_models(text.encode(), "models.yaml", Networks(loopback=True), KeyVariables(("*_API_KEY",)))


async def test_each_entry_is_a_platform_model_with_its_address_as_it_is_stored() -> None:
    first, second = await read(GOOD)
    assert (first.name, first.source, first.base_url) == ("m0.26", "platform", "http://127.0.0.1:8000/v1")
    assert first.price is not None
    assert (first.price.output, first.api_key_env, first.tags) == (1.5, "M_API_KEY", ["math"])
    assert (second.max_concurrency, second.timeout_s) == ("auto", 120)
    assert await read("models: []") == []


ENTRY = "models:\n  - name: a\n    base_url: http://127.0.0.1:1/v1\n    model: m\n"


@pytest.mark.parametrize(
    ("text", "loc", "said"),
    [
        ("[]", [], "the key models"),
        ("models: [", [], "line 1"),
        (ENTRY + "model: []\n", ["model"], "line 5: unknown key 'model'; did you mean 'models'?"),
        (
            ENTRY + "    timeout: 5\n",
            ["models", 0, "timeout"],
            "line 5: unknown key 'timeout'; did you mean 'timeout_s'?",
        ),
        (ENTRY + "    timeout_s: 0\n", ["models", 0, "timeout_s"], "line 5: "),
        (ENTRY.replace("a\n", "0.26\n", 1), ["models", 0, "name"], "line 2: must be a text; put it in quotes"),
        (ENTRY.replace("    model: m\n", ""), ["models", 0, "model"], "line 2: model is missing"),
        (ENTRY + "    api_key: sk-secret\n", ["models", 0, "api_key"], "line 5: must not stand in a file"),
        (ENTRY + "    source: running\n", ["models", 0, "source"], "line 5: is platform for every model of this file"),
        (
            ENTRY + "    engine: {name: vllm, checkpoint: org/m}\n",
            ["models", 0, "engine"],
            "line 5: is for models that a launcher starts",
        ),
        (ENTRY + "    api_key_env: AWS_SECRET\n", ["models", 0, "api_key_env"], "line 5: AWS_SECRET is not among"),
        (ENTRY.replace("127.0.0.1", "169.254.169.254"), ["models", 0, "base_url"], "line 3: leads to"),
        (ENTRY + ENTRY.partition("\n")[2], ["models", 1, "name"], "line 5: 'a' is there already, in line 2"),
        (f"models: [{'x' * MAX_BYTES}]", [], "is larger than 1,048,576 bytes"),
    ],
)
async def test_what_is_wrong_is_told_with_its_line_and_field(text: str, loc: list[str | int], said: str) -> None:
    with pytest.raises(Invalid) as caught:
        await read(text)
    (error,) = caught.value.errors
    assert error["loc"] == ["models.yaml", *loc]
    assert said in error["msg"]
    assert "sk-secret" not in str(caught.value.as_dict())


async def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Invalid, match="the models file has 2 errors") as caught:
        await read(ENTRY + "    timeout: 5\n  - {name: b, model: m, base_url: 'http://127.0.0.1/v1', price: cheap}\n")
    assert [error["loc"][2] for error in caught.value.errors] == [0, 1]
