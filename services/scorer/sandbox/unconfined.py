"""Without a sandbox the folders are where they are, so what a program is told of them is told by their own names."""

import re
from collections.abc import Iterable

from services.scorer.sandbox.limits import Mount


def translated(text: str, mounts: Iterable[Mount]) -> str:
    """`text` (an argument, a variable) with each path under a mount's target replaced by the one under its source."""
    sources = {mount.target.rstrip("/"): str(mount.source) for mount in mounts}
    targets = "|".join(re.escape(target) for target in sorted(sources, key=len, reverse=True))
    return re.sub(rf"(?<![\w./-])({targets})(?![\w.-])", lambda match: sources[match[1]], text) if sources else text
