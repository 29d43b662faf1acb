"""System calls that no scoring program needs and that namespaces do not hold: a filter in the kernel's classic BPF (seccomp(2)).

They would reach what is not in a namespace (the hypervisor's sockets, keyrings), keep memory that no process is seen to hold, or open a
large part of the kernel to attack (mounting, namespaces within, tracing). Everything else is allowed.
"""

import errno
import platform
import struct
from typing import NamedTuple


class _Machine(NamedTuple):
    audit: int
    """AUDIT_ARCH_* of linux/audit.h."""
    column: int
    """Of the tables below."""


_MACHINES = {"x86_64": _Machine(0xC000003E, 0), "aarch64": _Machine(0xC00000B7, 1)}

_REFUSED = {
    # name: number on x86_64, on aarch64 (asm/unistd.h)
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "syslog": (103, 116), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97), "setns": (308, 268),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442),
}  # fmt: skip

_MISSING = {
    # As on a kernel without them, so that libraries fall back to what is there.
    "clone3": (435, 435), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
}  # fmt: skip

_CLONE, _SOCKET = (56, 220), (41, 198)
_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK: those that the network namespace holds. AF_VSOCK it does not."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`, little-endian."""


def program() -> bytes | None:
    """The filter as an array of `struct sock_filter`, or None for a machine whose numbers are not known here."""
    machine = _MACHINES.get(platform.machine())
    if machine is None:
        return None
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, machine.audit, 1, 0),
        _line(_RETURN, _KILL),
        _line(_LOAD, _NUMBER),
        # x86_64's second table (x32) has the same calls under other numbers.
        _line(_AT_LEAST, 0x40000000, 0, 1),
        _line(_RETURN, _KILL),
    ]
    for table, code in ((_REFUSED, errno.EPERM), (_MISSING, errno.ENOSYS)):
        for numbers in table.values():
            lines += [_line(_EQUAL, numbers[machine.column], 0, 1), _line(_RETURN, _ERRNO | code)]
    lines += [
        _line(_EQUAL, _CLONE[machine.column], 0, 4),
        _line(_LOAD, _FIRST_ARGUMENT),
        _line(_ANY_BIT, _NAMESPACES, 0, 1),
        _line(_RETURN, _ERRNO | errno.EPERM),
        _line(_RETURN, _ALLOW),
        _line(_EQUAL, _SOCKET[machine.column], 0, 2 + len(_FAMILIES)),
        _line(_LOAD, _FIRST_ARGUMENT),
        *(_line(_EQUAL, family, len(_FAMILIES) - at, 0) for at, family in enumerate(_FAMILIES)),
        _line(_RETURN, _ERRNO | errno.EAFNOSUPPORT),
        _line(_RETURN, _ALLOW),
    ]
    return b"".join(lines)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
