"""Models of the Hugging Face Hub: fetched by the engine, evaluated, and the token that a gated one needs is nowhere to be seen."""

import subprocess
from pathlib import Path

import pytest

from tests.engines.conftest import HUB_TOKEN, Said
from tests.engines.hub import BRANCH, Hub, Repository
from tests.engines.stack import ITEMS, EngineStack

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]

NEEDED = {"config.json", "model.safetensors", "tokenizer.json"}


def test_a_hub_id_becomes_a_completed_evaluation(
    engine_stack: EngineStack, hub: Hub, hub_cache: Path, tiny: Path, said: Said
) -> None:
    name = "acme/tiny-one"
    hub.repositories[name] = repository = Repository(tiny / "one")
    assert not list(hub_cache.rglob("*.safetensors"))
    model = engine_stack.add_engine("from the Hub", "transformers", name)
    assert (model.source, model.status, model.base_url) == ("huggingface", "stopped", None)
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said["one"]
    fetched = hub.fetched(name)
    assert set(fetched) >= NEEDED
    assert len(fetched) == len(set(fetched)), "a file was fetched twice"
    log = "\n".join(engine_stack.client.models.log(model.id))
    snapshot = hub_cache / "hub" / "models--acme--tiny-one" / "snapshots" / repository.commit
    assert f"loading weights file model.safetensors from cache at {snapshot}/model.safetensors" in log
    engine_stack.stop_engine(model, name)


def test_llama_cpp_fetches_a_hub_id_with_the_token(engine_stack: EngineStack, hub: Hub, tiny: Path, said: Said) -> None:
    name = "acme/tiny-one-GGUF"
    hub.repositories[name] = Repository(tiny / "gguf", token=HUB_TOKEN)
    model = engine_stack.add_engine("GGUF from the Hub", "llama.cpp", name)
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)])
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said["one"]
    assert hub.fetched(name) == ["one.gguf"]
    assert any(f"loading model '{name}'" in line for line in engine_stack.client.models.log(model.id))
    engine_stack.stop_engine(model, name)


def test_a_gated_model_is_fetched_with_the_token_at_a_revision(
    engine_stack: EngineStack, hub: Hub, tiny: Path, said: Said
) -> None:
    name = "acme/gated"
    hub.repositories[name] = Repository(tiny / "two", token=HUB_TOKEN)
    model = engine_stack.add_engine("gated", "transformers", name, revision=BRANCH)
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said["two"]
    assert set(hub.fetched(name)) >= NEEDED
    assert HUB_TOKEN not in "\n".join([*engine_stack.client.models.log(model.id), *engine_stack.told(done)])
    found = subprocess.run(["grep", "-rl", HUB_TOKEN, engine_stack.data], capture_output=True, text=True, check=False)
    assert found.stdout == ""
    engine_stack.stop_engine(model, f"{name}@{BRANCH}")


def test_a_gated_model_without_access_is_told_as_the_hub_says_it(
    engine_stack: EngineStack, hub: Hub, tiny: Path
) -> None:
    name = "acme/closed"
    hub.repositories[name] = Repository(tiny / "two", token="somebody else's")
    model = engine_stack.add_engine("closed", "transformers", name)
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)
    assert done.status == "failed"
    assert done.error
    assert f"Access to model {name} is restricted" in done.error
    assert any("gated repo" in line for line in engine_stack.client.models.log(model.id))
    assert hub.fetched(name) == []
    engine_stack.remove_model(model.id)
