"""Real engines, started by a real launcher, on a stack of its own; the Hub is on a loopback address."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines.hub import Hub, serving
from tests.engines.stack import INSTALLED, LONG, SHORT, EngineStack, chats, program

HUB_TOKEN = "hf_NotToBeSeenAbCdEfGhIjKlMnOpQrStUvWx"  # of the form that llama.cpp insists on
Said = dict[str, list[str]]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models that `programs/make_models.py` makes."""
    assert (INSTALLED / "transformers").exists(), "the engines are not installed: `make test-engines` does it"
    folder = tmp_path_factory.mktemp("models")
    program("make_models.py", str(folder))
    return folder


@pytest.fixture(scope="session")
def said(tiny: Path) -> Said:
    """What each checkpoint answers to the items by greedy decoding, as transformers alone says it."""
    asked = {"one": SHORT, "two": SHORT, "adapted": SHORT, "one, at length": LONG}
    questions = [
        {"folder": str(tiny / name.split(",")[0]), "max_tokens": tokens, "chats": chats()}
        for name, tokens in asked.items()
    ]
    found: Said = dict(zip(asked, json.loads(program("answers.py", given=json.dumps(questions))), strict=True))
    for answers in found.values():
        assert all(answers)
    assert len({*found["one"], *found["two"], *found["adapted"]}) > 2 * len(found["one"]), "no checkpoint can be told"
    return found


@pytest.fixture(scope="session")
def hub() -> Iterator[Hub]:
    with serving(Hub()) as hub:
        yield hub


@pytest.fixture(scope="session")
def hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where engines keep what they fetch from the Hub: nothing is there yet."""
    return tmp_path_factory.mktemp("hub") / "cache"


@pytest.fixture
def engine_stack(running_stack: EngineStack) -> Iterator[EngineStack]:
    yield running_stack
    running_stack.clear()


@pytest.fixture(scope="session")
def running_stack(tmp_path_factory: pytest.TempPathFactory, hub: Hub, hub_cache: Path) -> Iterator[EngineStack]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(INSTALLED), prepend=":")
        with EngineStack(
            tmp_path_factory.mktemp("stack"),
            predictors=1,
            OMP_NUM_THREADS="1",
            HF_ENDPOINT=hub.url,
            HF_HOME=str(hub_cache),
            ASSAY_HF_TOKEN=HUB_TOKEN,
        ) as running:
            running.push_sample_environment()
            yield running
