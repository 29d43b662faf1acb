"""The command that confines a program: bubblewrap's arguments, and the numbers of its user."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from services.scorer.sandbox.limits import Mount

TMP, SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108 - the sandbox's own

NOBODY = 65534
"""The program's user and group, inside as outside where that can be had."""

_LAUNCH = Path(__file__).with_name("launch.py")
LAUNCH = Mount(_LAUNCH, "/run/launch.py")

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_CONFIGURATION = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
"""What programs in /usr read of /etc. Nothing else of it is there."""


def drops_root() -> bool:
    """Whether this process can give programs another user than its own: it is root, in a namespace that has one."""
    if os.geteuid() != 0:
        return False
    capabilities = int(_field("/proc/self/status", "CapEff:"), 16)
    return bool(capabilities >> 6 & capabilities >> 7 & 1) and all(
        _mapped(Path(f"/proc/self/{kind}_map").read_text(), NOBODY) for kind in ("uid", "gid")
    )


def arguments(
    mounts: Iterable[Mount],
    *,
    environment: Mapping[str, str],
    scratch_bytes: int,
    hidden: Sequence[Path],
    drops: bool,
) -> list[str]:
    """bubblewrap's options, up to the command. See bwrap(1).

    With `drops` the namespace has two users, root for the setup and `NOBODY` for the program, which `launch.py` becomes;
    without, it has one, and no namespace can be made within.
    """
    options = [
        "--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try",
        "--die-with-parent", "--new-session", "--hostname", "sandbox", "--cap-drop", "ALL",
    ]  # fmt: skip
    if drops:
        options += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        options += ["--uid", str(NOBODY), "--gid", str(NOBODY), "--disable-userns"]
    options += ["--ro-bind", "/usr", "/usr"]
    for path in map(Path, _SYSTEM):
        if path.is_symlink():
            options += ["--symlink", os.readlink(path), str(path)]
        elif path.is_dir():
            options += ["--ro-bind", str(path), str(path)]
    made = {"/", "/usr"}
    for name in _CONFIGURATION:
        if os.path.exists(name):
            options += [*_parents(name, made), "--ro-bind", name, name]
    options += ["--proc", "/proc", "--dev", "/dev"]
    scratch = ("--perms", "1777", "--size", str(scratch_bytes), "--tmpfs")
    options += [*scratch, SHARED_MEMORY, "--remount-ro", "/dev", *scratch, TMP]
    for mount in mounts:
        options += [*_parents(mount.target, made), "--bind" if mount.writable else "--ro-bind"]
        options += [str(mount.source), mount.target]
        made.add(mount.target)
    for path in hidden:
        options += ["--tmpfs", str(path), "--remount-ro", str(path)]
    options += ["--remount-ro", "/", "--chdir", "/", "--clearenv"]
    for name, value in environment.items():
        options += ["--setenv", name, value]
    return options


def interpreter(prefixes: Iterable[str]) -> list[Mount]:
    """The folders of a Python, read-only and where they are, but for those in /usr."""
    found = {Path(prefix) for prefix in prefixes} | {Path(prefix).resolve() for prefix in prefixes}
    return [Mount(path, str(path)) for path in sorted(found) if path != Path("/") and not path.is_relative_to("/usr")]


def _parents(target: str, made: set[str]) -> list[str]:
    """Options that make the folders above `target`, which everybody may pass: those that bubblewrap makes by itself are its user's alone."""
    options: list[str] = []
    for parent in reversed([str(path) for path in PurePosixPath(target).parents]):
        if parent not in made:
            made.add(parent)
            options += ["--perms", "0755", "--dir", parent]
    return options


def _mapped(mapping: str, number: int) -> bool:
    """Whether a `/proc/PID/uid_map` has this number."""
    ranges = (tuple(map(int, line.split())) for line in mapping.splitlines())
    return any(first <= number < first + count for first, _, count in ranges)


def _field(path: str, name: str) -> str:
    return next(line.split()[1] for line in Path(path).read_text().splitlines() if line.startswith(name))
