"""A model's key in the predictor's own environment, where the model names it there (`api_key_env`)."""

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
