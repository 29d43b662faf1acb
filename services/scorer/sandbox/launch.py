"""Runs inside the sandbox, as its first program: takes on the limits of a process, gives up what is left of root, becomes the program.

Limits on processes are set here and not outside, so that they count those of this namespace and not all of the user's.
It is read by the interpreter alone (`-I -S`), so it imports nothing but the standard library.
"""

import json
import os
import resource
import sys


def main() -> None:
    order = json.loads(sys.argv[1])
    if order["user"] is not None:
        os.setgroups([])
        os.setresgid(order["user"], order["user"], order["user"])
        os.setresuid(order["user"], order["user"], order["user"])
    for name, most in order["limits"].items():
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (most, most))
    # Not earlier: the folder may be its user's alone.
    os.chdir(order["folder"])
    # Services, which wait for it, come first.
    os.nice(5)
    os.write(order["started"], b"1")
    os.close(order["started"])
    command = sys.argv[2:]
    try:
        os.execvp(command[0], command)  # noqa: S606 - there is no shell to be
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


main()
