"""The inputs of the writers, small and complete."""

from typing import Any


def evaluation(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ev1",
        "number": 678,
        "group": "g1",
        "status": "scoring",
        "error": None,
        "model": "md1",
        "model_name": "m0.26",
        "environment": "word-problems",
        "environment_version": "9f2c1ab03d77e5c4",
        "environment_title": "Word problems",
        "phase": "dev",
        "params": {"temperature": 0.0, "max_tokens": 512},
        "limit": None,
        "samples_per_item": 1,
        "priority": 1,
        "round": 0,
        "created_at": "2025-06-01T10:12:13Z",
        "started_at": "2025-06-01T10:12:14Z",
        "finished_at": None,
        "progress": {"done": 3, "total": 3},
        "metrics": None,
        "files": [],
    } | changes


def metrics(**changes: Any) -> dict[str, Any]:
    return {
        "overall_score": 0.26,
        "accuracy": 0.26,
        "accuracy_ci95": [0.184, 0.3537],
        "exact_match": 0.25,
        "answer_rate": 0.97,
        "coverage": 1.0,
        "items_per_s": 46.2,
        "latency_ms": {"p50": 812.4, "p95": 2310.0, "mean": 1010.3, "max": 9300.0},
        "tokens": {"prompt": 9702, "completion": 4611, "total": 14313, "unreported": 0},
        "total": 100,
        "called": 100,
        "correct": 26,
        "scored": 95,
        "no_answer": 3,
        "model_error": 2,
        "infra_error": 0,
    } | changes


def item(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "item_id": f"q{index + 1}",
        "input": f"How much is {index} and 1?",
        "messages": [
            {"role": "system", "content": "Answer with a number."},
            {"role": "user", "content": f"How much is {index} and 1?"},
        ],
        "target": f"It is one more.\n#### {index + 1}",
        "hints": {},
        "metadata": {"level": 1},
    } | changes


def result(index: int, sample: int = 0, **changes: Any) -> dict[str, Any]:
    """A correct answer."""
    return {
        "index": index,
        "sample": sample,
        "round": 0,
        "item_id": f"q{index + 1}",
        "target": f"{index + 1}",
        "prediction": f"{index + 1}",
        "output": f"That makes {index + 1}.",
        "correct": True,
        "scores": {"accuracy": 1.0},
        "outcome": "scored",
        "error": None,
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 97, "completion_tokens": 46, "total_tokens": 143},
        "attempts": 1,
        "latency_ms": 812.4,
        "ttft_ms": 120.25,
    } | changes


def wrong(index: int, sample: int = 0, **changes: Any) -> dict[str, Any]:
    changes = {"prediction": "0", "output": "None.", "correct": False, "scores": {"accuracy": 0.0}} | changes
    return result(index, sample, **changes)


def without_answer(index: int, outcome: str, sample: int = 0, **changes: Any) -> dict[str, Any]:
    silent: dict[str, Any] = {"prediction": None, "output": "", "correct": False, "scores": {}, "outcome": outcome}
    return result(index, sample, **(silent | changes))
