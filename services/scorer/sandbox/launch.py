"""Runs inside the sandbox, as its first program: takes on the limits of a process, gives up what is left of root, becomes the program.

python3 -I -S launch.py STARTED USER FOLDER LIMIT=VALUE ... -- COMMAND ...

STARTED is a descriptor that gets a byte when all is done, USER the number to become, or empty. Limits on processes are set here and not
outside, so that they count those of this namespace and not all of the user's. Each import here costs every run: json would double it.
"""

import os
import resource
import sys


def main() -> None:
    started, user, folder, *rest = sys.argv[1:]
    limits, command = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    if user:
        number = int(user)
        os.setgroups([])
        os.setresgid(number, number, number)
        os.setresuid(number, number, number)
    for limit in limits:
        name, _, value = limit.partition("=")
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        most = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(which, (most, most))
    # Not earlier: the folder may be its user's alone.
    os.chdir(folder)
    # Services, which wait for it, come first.
    os.nice(5)
    os.write(int(started), b"1")
    os.close(int(started))
    try:
        os.execvp(command[0], command)  # noqa: S606 - there is no shell to be
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127 if isinstance(error, FileNotFoundError) else 126)


main()
