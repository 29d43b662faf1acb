"""The sandbox: runs programs that nobody here has read. docs/sandbox.md says what holds them.

What comes out of a writable folder is as hostile as the program: it is taken with `collect`, and cleared away with `remove`.
"""

from services.scorer.sandbox.files import Output, collect, remove
from services.scorer.sandbox.limits import Finished, Limits, Mount, NoSandbox
from services.scorer.sandbox.sandbox import Sandbox

__all__ = ["Finished", "Limits", "Mount", "NoSandbox", "Output", "Sandbox", "collect", "remove"]
