"""Worker processes for what is hostile: they get no secrets, have limits, and die with the service that started them."""

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# What the interpreter needs; everything else, settings and secrets above all, stays with the service.
_KEPT = ("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")


def child_environment(own: Mapping[str, str]) -> dict[str, str]:
    """The worker's environment variables, given this process's."""
    return {name: own[name] for name in _KEPT if name in own}


def die_with(parent: int) -> None:
    """Let this process be killed when `parent` ends, which may be killed itself and then cleans nothing up.

    It is the end of the thread that started this process which counts (prctl(2)): the event loop's, which is the service's main one.
    """
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:  # it has ended already, so no signal will come
        sys.exit(1)


def lower_limit(kind: int, soft: int, hard: int) -> None:
    """`setrlimit`, only ever downwards: without privileges a limit that the service itself is under cannot be raised."""
    most = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most)))
