"""A line of `predictions.jsonl`: the file of an evaluation, and what a scoring program reads."""

from collections.abc import Mapping
from typing import Any

from shared.contracts import Usage
from shared.jsontexts import to_json

_USAGE = tuple(Usage.model_fields)


def prediction_line(result: Mapping[str, Any]) -> bytes:
    """One sample, from its result as MongoDB has it, with the line's end. `reasoning` is there where the model said what it thought."""
    usage = result["usage"]
    line = {
        "item_id": result["item_id"],
        "sample": result["sample"],
        "output": result["output"],
        "outcome": result["outcome"],
        "error": result["error"],
        "finish_reason": result["finish_reason"],
        "usage": usage and {name: usage.get(name) for name in _USAGE},
        "latency_ms": result["latency_ms"],
        "ttft_ms": result["ttft_ms"],
        "attempts": result["attempts"],
    }
    if result.get("reasoning"):
        line["reasoning"] = result["reasoning"]
    return to_json(line) + b"\n"
