"""What the embedded stack says when it cannot do what was asked."""

from shared.errors import AssayError


class StackError(AssayError):
    """One message for the person at the terminal: what is wrong and what would be right."""
