"""A model's key: found in the predictor's own environment where the model names it there (`api_key_env`), and kept out of what is told."""

from collections.abc import Mapping

from services.predictor.connections import ExchangeFailed
from shared.key_variables import KeyVariables


class KeyMissing(ExchangeFailed):
    """This predictor has no key to send; `reason` names the variable, never what it holds."""


def key_in(environment: Mapping[str, str], name: str, allowed: KeyVariables) -> str:
    """The key that a variable holds; blanks around it, such as the last line's end of a file, are not part of it. Raises `KeyMissing`."""
    if refusal := allowed.refusal(name):
        raise KeyMissing(f"the predictor sends no such key: {refusal}")
    value = environment.get(name, "").strip()
    if not value:
        raise KeyMissing(f"the variable {name}, which holds the API key, is not set where the predictor runs")
    if not (value.isascii() and value.isprintable()):
        raise KeyMissing(f"the variable {name} holds no API key: one is of printable ASCII characters")
    return value


_LEAST = 8
"""Characters below which nothing is masked: what local servers take for a key is a word that answers may hold, and keeps nobody out."""


def without_key(text: str, key: str | None) -> str:
    """What an endpoint said, without the key that it may repeat, also where the text was cut in the midst of it."""
    if not key or len(key) < _LEAST:
        return text
    if key in text:
        text = text.replace(key, "***")
    bare = text.rstrip("\u2026")
    if key[:_LEAST] not in text[-len(key) - 1 :]:
        return text
    for length in range(len(key) - 1, _LEAST - 1, -1):
        if bare.endswith(key[:length]):
            return bare[:-length] + "***"
    return text
