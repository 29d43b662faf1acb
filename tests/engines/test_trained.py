"""Trained models: a checkpoint on this machine becomes an evaluation whose answers are those of that checkpoint and no other."""

import re
from pathlib import Path

import pytest

from tests.engines.conftest import Said
from tests.engines.stack import ITEMS, LONG, EngineStack

pytestmark = [pytest.mark.engines, pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("engine", "checkpoint", "adapter", "equals"),
    [
        pytest.param("transformers", "one", None, "one", id="transformers-folder"),
        pytest.param("transformers", "adapted", None, "adapted", id="transformers-folder-with-adapter"),
        pytest.param("llama.cpp", "gguf/one.gguf", None, "one", id="llama.cpp-file"),
        pytest.param("llama.cpp", "gguf/one.gguf", "adapter.gguf", "adapted", id="llama.cpp-file-and-adapter"),
    ],
)
def test_a_checkpoint_becomes_a_completed_evaluation(
    engine_stack: EngineStack, tiny: Path, said: Said, engine: str, checkpoint: str, adapter: str | None, equals: str
) -> None:
    path = tiny / checkpoint
    settings = {"adapter": str(tiny / adapter)} if adapter else {}
    model = engine_stack.add_engine(f"{equals} by {engine}", engine, path, **settings)
    assert (model.source, model.status, model.base_url) == ("trained", "stopped", None)
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said[equals]
    assert any(line.startswith(f"Starting the engine of model {model.name}: ") for line in engine_stack.told(done))
    log = "\n".join(engine_stack.client.models.log(model.id))
    assert (f"loading weights file {path}/model.safetensors" if path.is_dir() else f"loading model '{path}'") in log
    assert not re.search(r"POST|Request received| slot ", log), "requests leave lines"
    assert engine_stack.engines(path)
    engine_stack.stop_engine(model, path)


def test_a_checkpoint_in_the_object_store_is_fetched_by_the_launcher(
    engine_stack: EngineStack, tiny: Path, said: Said
) -> None:
    files = engine_stack.upload(tiny / "two", "checkpoints", "tuned/two")
    model = engine_stack.add_engine("two from S3", "transformers", "s3://checkpoints/tuned/two")
    (done,) = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said["two"]
    log = "\n".join(engine_stack.client.models.log(model.id))
    loaded = re.search(r"loading weights file (\S+)/model\.safetensors", log)
    assert loaded, log
    assert {path.name for path in Path(loaded[1]).iterdir()} >= files
    engine_stack.stop_engine(model, loaded[1])


def test_an_engine_killed_in_mid_run_is_started_again_and_the_evaluation_goes_on(
    engine_stack: EngineStack, tiny: Path, said: Said
) -> None:
    path = tiny / "one"
    model = engine_stack.add_engine("killed", "transformers", path)
    evaluation = engine_stack.evaluate_items(model, LONG)
    for event in engine_stack.client.events(evaluation.id):
        if 0 < event.data.get("done", 0) < ITEMS:
            engine_stack.kill_engine(path)
            break
    for told in engine_stack.client.events(after=event.cursor, types=["assay.model.log"]):
        again = [line for line in told.data["lines"] if "it is started again (1 of 3)" in line]
        if told.data["model"] == model.id and again:
            assert "the engine was killed by signal 9 after " in again[0]
            break
    done = engine_stack.wait([evaluation], timeout=200)[0]
    assert (done.status, done.progress.scored) == ("completed", ITEMS), done.error
    assert engine_stack.outputs(done) == said["one, at length"]
    engine_stack.stop_engine(model, path)


def test_an_engine_that_nothing_needs_is_stopped(engine_stack: EngineStack, tiny: Path) -> None:
    path = tiny / "gguf/one.gguf"
    model = engine_stack.add_engine("idle", "llama.cpp", path, idle_stop_s=10)
    done = engine_stack.wait([engine_stack.evaluate_items(model)])[0]
    assert done.status == "completed", done.error
    engine_stack.until_status(model, "stopped")
    assert engine_stack.engines(path) == []
    # The next evaluation starts it once more.
    again = engine_stack.wait([engine_stack.evaluate_items(model)])[0]
    assert engine_stack.outputs(again) == engine_stack.outputs(done)
    engine_stack.stop_engine(model, path)


def test_a_checkpoint_that_the_engine_refuses_is_told_in_its_own_words(
    engine_stack: EngineStack, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_bytes((tiny / "one" / "config.json").read_bytes())
    model = engine_stack.add_engine("without weights", "transformers", tmp_path)
    done = engine_stack.wait([engine_stack.evaluate_items(model)], timeout=200)[0]
    assert done.status == "failed"
    assert done.error
    assert done.error.startswith("the engine of model without weights failed: the engine ended with exit code 1 after ")
    assert str(tmp_path) in done.error
    assert engine_stack.client.models.get(model.id).status == "failed"
    assert engine_stack.engines(tmp_path) == []
    engine_stack.remove_model(model.id)
