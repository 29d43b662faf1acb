"""Which variables of the predictors' environment a model may name as its key (`api_key_env`).

A model's address is chosen by whoever registers it, and its key is sent there. So a name of the caller's choice would send any secret of
that environment to any address: only names that the operator allows (`ASSAY_KEY_VARIABLES`) are read, and Assay's own never.
"""

import re
from fnmatch import fnmatchcase

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,199}$"
_PATTERN = re.compile(r"[A-Za-z_*][A-Za-z0-9_*]*")
_OWN = "ASSAY_"


def read_patterns(text: str) -> tuple[str, ...]:
    """Names, or patterns of them with `*`, from a list with commas. Raises `ValueError` that quotes what is neither."""
    patterns = tuple(part.strip() for part in text.split(",") if part.strip())
    for pattern in patterns:
        if not _PATTERN.fullmatch(pattern) or not pattern.strip("*_"):
            raise ValueError(f"{pattern!r} is no name of a variable, nor a pattern of one such as *_API_KEY")
    return patterns


class KeyVariables:
    """The names that may be read."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns

    def refusal(self, name: str) -> str | None:
        """Why a variable may not be read, or None."""
        if name.startswith(_OWN):
            return f"{name} is one of Assay's own variables, which are never sent anywhere"
        if any(fnmatchcase(name, pattern) for pattern in self._patterns):
            return None
        allowed = ", ".join(self._patterns) or "none"
        return f"{name} is not among the variables that may be a key: {allowed} (ASSAY_KEY_VARIABLES, which the operator sets)"
