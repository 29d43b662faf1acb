"""`assay model ...` of models with an engine: what is sent, what is shown, and how a mistake looks."""

from typing import Any

import pytest

from assay.commands import engines
from tests.unit.assay.fakes import Gateway, model, page, problem
from tests.unit.assay.test_cli import run

ENGINE = {"name": "vllm", "checkpoint": "/models/m", "args": ["--max-model-len", "8192"], "adapter": "org/lora"}


def with_engine(**changes: Any) -> dict[str, Any]:
    fields = {"engine": ENGINE, "base_url": None, "status": "starting", "status_detail": "loading, 2 s"}
    return model(**{**fields, **changes})


def test_a_model_is_registered_with_an_engine() -> None:
    gateway = Gateway().on("POST /models", with_engine(status="stopped", status_detail="not started yet"))
    given = "--engine vllm --checkpoint org/m --revision main --engine-arg=--max-model-len --engine-arg 8192"
    result = run(gateway, "model", "add", "m", *given.split(), "--idle-stop-s", "60")
    assert result.stdout == "alpha is m1: stopped (not started yet)\n"
    assert gateway.body("POST /models") == {
        "name": "m",
        "engine": {
            "name": "vllm", "checkpoint": "org/m", "revision": "main", "args": ["--max-model-len", "8192"],
            "idle_stop_s": 60.0,
        },
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "missing"), [(["--checkpoint", "/m"], "--engine"), (["--engine", "vllm"], "--checkpoint")]
)
def test_half_an_engine_is_refused_before_anything_is_sent(given: list[str], missing: str) -> None:
    gateway = Gateway()
    result = run(gateway, "model", "add", "m", *given)
    assert (result.exit_code, gateway.requests) == (2, [])
    assert missing in result.stderr


def test_a_model_shows_its_engine() -> None:
    gateway = Gateway().on("GET /models", page(with_engine()))
    shown = run(gateway, "model", "show", "alpha").stdout
    for text in ("starting loading, 2 s", "vllm --max-model-len 8192", "/models/m", "org/lora", "300 s of no use"):
        assert text in shown
    assert "vllm: /models/m" in run(gateway, "model", "list").stdout


def test_an_engine_is_started_and_stopped_by_its_models_name() -> None:
    gateway = Gateway().on("GET /models", page(with_engine()))
    gateway.on("POST /models/m1/start", with_engine())
    gateway.on("POST /models/m1/stop", problem(409, "evaluation #3 needs the engine of model alpha; cancel it first"))
    started = run(gateway, "model", "start", "alpha")
    assert (started.exit_code, started.stdout) == (0, "alpha: starting (loading, 2 s)\n")
    refused = run(gateway, "model", "stop", "alpha")
    assert (refused.exit_code, refused.stderr) == (
        3,
        "error: evaluation #3 needs the engine of model alpha; cancel it first\n",
    )


def test_a_log_is_followed_to_the_engines_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "FOLLOW_S", 0.0)
    failed = with_engine(status="failed", status_detail="exit 1")
    gateway = Gateway().on("GET /models", page(with_engine()))
    gateway.on("GET /models/m1", with_engine(), failed)
    gateway.on("GET /models/m1/log", {"lines": ["a", "\x1b[31mb"]}, {"lines": ["\x1b[31mb", "c"]})
    result = run(gateway, "model", "log", "alpha", "-f")
    assert (result.exit_code, result.stdout) == (1, "a\n\ufffd[31mb\nc\n")
    assert result.stderr == "alpha: failed (exit 1)\n"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [([], ["a"], ["a"]), (["a"], ["a"], []), (["a", "b"], ["b", "c"], ["c"]), (["a"], ["x", "y"], ["x", "y"])],
)
def test_what_a_log_has_beyond_what_was_shown(before: list[str], after: list[str], expected: list[str]) -> None:
    assert engines.added(before, after) == expected


def test_engines_are_listed_with_what_is_missing() -> None:
    template = {"name": "vllm", "title": "vLLM", "takes": ["folder", "hub"], "missing": "no program vllm on PATH"}
    listed = run(Gateway().on("GET /engines", page(template)), "model", "engines").stdout
    for text in ("vllm", "folder, hub", "no program vllm on PATH"):
        assert text in listed
