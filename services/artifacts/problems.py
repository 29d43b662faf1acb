"""What is wrong with a bundle, collected."""

from collections.abc import Iterable

from shared.errors import FieldError, Invalid

_MAX_ERRORS = 20
_MAX_NAME = 200  # characters of a name in an error's path
_MAX_MESSAGE = 2000  # characters of an error's message


class Problems:
    """The errors found so far, of which an answer can name only some."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, loc: Iterable[str | int], msg: str) -> None:
        """Raises them all as `Invalid` instead of growing beyond the limit."""
        # A hostile bundle chooses its names: neither they nor what lists them may flood an answer.
        loc = [part if isinstance(part, int) else part[:_MAX_NAME] for part in loc]
        msg = msg if len(msg) <= _MAX_MESSAGE else f"{msg[:_MAX_MESSAGE]}..."
        if len(self.errors) == _MAX_ERRORS:
            self.errors.append(FieldError(loc=loc[:1], msg="... and more"))
            self.raise_any()
        self.errors.append(FieldError(loc=loc, msg=msg))

    def raise_any(self) -> None:
        if count := len(self.errors):
            said = f"more than {_MAX_ERRORS} errors" if count > _MAX_ERRORS else f"{count} error{'s' * (count > 1)}"
            first = self.errors[0]
            raise Invalid(f"bundle has {said}: {first['loc'][0]}: {first['msg']}", self.errors)
