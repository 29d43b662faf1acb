"""Kill points: named places where a test wants the process to die with SIGKILL, to show that nothing is lost there.

Off unless `ASSAY_FAULTS` names a folder; then a file in it named after a point kills the first process that passes it, once.
"""

import os
import signal
from pathlib import Path

_folder = os.environ.get("ASSAY_FAULTS")


def kill_point(name: str) -> None:
    """Die here if a test has asked for it."""
    if _folder is None:
        return
    try:
        # Whoever removes the file is the one that dies: of several replicas exactly one, and only once.
        (Path(_folder) / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
