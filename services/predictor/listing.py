"""The models that an endpoint lists (OpenAI API reference, "List models": `{"data": [{"id": ...}]}`), read from what it says."""

from collections.abc import Sequence
from typing import Any

import orjson

MAX_LIST_BYTES = 4 * 1024 * 1024
MAX_NAME = 300
MAX_NAMES = 10_000
SHOWN = 8


def read_cards(body: bytes) -> list[dict[str, Any]] | None:
    """The entries of the list, each with an `id` that can be a model's name; None where this is no list of models."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    cards = document.get("data") if isinstance(document, dict) else document  # some (Together) give the bare list
    if not isinstance(cards, list):
        return None
    named = [card for card in cards[:MAX_NAMES] if isinstance(card, dict) and _is_name(card.get("id"))]
    return named if named or not cards else None


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and name.isprintable()


def names_of(cards: Sequence[dict[str, Any]]) -> list[str]:
    """Their names, each once, in the list's order."""
    return list(dict.fromkeys(card["id"] for card in cards))


def lists(names: Sequence[str], model: str) -> bool:
    """Whether one of the names is the model's: Ollama leaves out `:latest`, Google's has `models/` before it, and what follows a colon at
    Hugging Face's router is the provider's."""
    return any(each in names for each in (model, f"{model}:latest", f"models/{model}", model.rsplit(":", 1)[0]))


def in_short(names: Sequence[str]) -> str:
    """The first of the names, for a person."""
    if not names:
        return "none"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
