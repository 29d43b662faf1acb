"""Programs that mean harm: each ends in a clear message, and what it was after is looked at from outside.

No one is skipped: what they try is what keeps a machine safe.
"""

import asyncio
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from services.scorer.sandbox import Limits, Sandbox, collect, remove
from tests.programs import LIMITS, bwrap, processes_with, run_python

SECRET = "hostile-marker-7f3a"

TRY = """
import os, sys
def attempt(name, do):
    try:
        print(name, "WORKED", do())
    except Exception as error:
        print(name, getattr(error, "strerror", None) or error)
"""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(bwrap())
    yield sandbox
    sandbox.close()


@pytest.fixture
def listeners(tmp_path: Path) -> Iterator[dict[str, socket.socket]]:
    """Real ones on this machine, which nobody connects to."""
    with ExitStack() as stack:
        inet, path, abstract = (
            stack.enter_context(socket.socket(family)) for family in (socket.AF_INET, socket.AF_UNIX, socket.AF_UNIX)
        )
        inet.bind(("127.0.0.1", 0))
        path.bind(str(tmp_path / "listener"))
        abstract.bind(f"\0{SECRET}")
        found = {"inet": inet, "path": path, "abstract": abstract}
        for listener in found.values():
            listener.listen()
            listener.setblocking(False)
        yield found


def called(listener: socket.socket) -> bool:
    try:
        listener.accept()
    except BlockingIOError:
        return False
    return True


async def test_the_network(sandbox: Sandbox, tmp_path: Path, listeners: dict[str, socket.socket]) -> None:
    (tmp_path / "output").mkdir()
    os.chmod(tmp_path, 0o755)
    os.chmod(tmp_path / "listener", 0o777)
    port = listeners["inet"].getsockname()[1]
    code = f"""{TRY}
import socket
def call(family, *address):
    with socket.socket(family) as caller:
        caller.settimeout(5)
        caller.connect(address if len(address) > 1 else address[0])
def tell(*address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        return caller.sendto(b"x", address)
attempt("outside", lambda: call(socket.AF_INET, "1.1.1.1", 53))
attempt("outside, without a connection", lambda: tell("1.1.1.1", 53))
attempt("loopback", lambda: call(socket.AF_INET, "127.0.0.1", {port}))
attempt("loopback 6", lambda: call(socket.AF_INET6, "::1", {port}))
attempt("a name", lambda: socket.getaddrinfo("example.org", 80))
attempt("path", lambda: call(socket.AF_UNIX, {str(tmp_path / "listener")!r}))
attempt("abstract", lambda: call(socket.AF_UNIX, "\\0{SECRET}"))
attempt("the hypervisor", lambda: call(socket.AF_VSOCK, 2, 1024))
attempt("raw", lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1))
attempt("packets", lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 3))
print("interfaces", [name for _, name in socket.if_nameindex()])
"""
    ran = await run_python(sandbox, code, tmp_path)
    assert ran.finished.exit_code == 0, ran.err
    assert [line for line in ran.out if "WORKED" in line] == []
    assert len(ran.out) == 11
    assert ran.out[-1] == "interfaces ['lo']"
    assert ran.out[0] == f"outside {os.strerror(errno.ENETUNREACH)}"
    assert ran.out[7] == f"the hypervisor {os.strerror(errno.EAFNOSUPPORT)}"
    assert {name: called(listener) for name, listener in listeners.items()} == dict.fromkeys(listeners, False)


async def test_reading_what_is_outside(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_S3_SECRET_KEY", SECRET)
    for folder in ("data", "other evaluation/output", "other evaluation/input/ref"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "file").write_text(SECRET)
    os.chmod(tmp_path, 0o755)
    with subprocess.Popen(["sleep", "1000"], env={"KEY": SECRET}) as neighbour:
        code = f"""{TRY}
for path in ("/etc/shadow", "/etc/passwd", "/root/.bashrc", {str(tmp_path / "data/file")!r}, {str(Path(__file__))!r}):
    attempt(path, lambda: open(path).read())
own = (b"hostile-" b"marker-7f3a")
import stat
python = os.path.realpath(sys.base_prefix), sys.prefix, "/usr", "/sys"
seen = 0
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in python]
    for name in files:
        path = os.path.join(folder, name)
        if path.endswith(("/main.py", "/kcore")):
            continue
        try:
            # Its own pipes are there as files, too, and what is read of them is lost.
            if not stat.S_ISREG(os.stat(path).st_mode):
                continue
            with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
                content = file.read(1_000_000) or b''
        except OSError:
            continue
        seen += 1
        if own in content:
            print("FOUND", path)
print("processes", sorted(int(name) for name in os.listdir("/proc") if name.isdigit())[-1] < 10)
print("looked at", seen)
"""
        ran = await run_python(sandbox, code, tmp_path)
        neighbour.kill()
    assert ran.finished.exit_code == 0, (ran.err, ran.finished)
    assert [line for line in ran.out if "WORKED" in line or "FOUND" in line] == []
    assert len(ran.out) == 7, ran.out
    assert ran.out[5] == "processes True"
    assert int(ran.out[6].removeprefix("looked at ")) > 50


async def test_writing_outside(sandbox: Sandbox, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o777)
    os.chmod(tmp_path, 0o755)
    os.chmod(outside, 0o777)
    code = f"""{TRY}
attempt("its own program", lambda: open(__file__, "a").write("x"))
attempt("removing it", lambda: os.unlink(__file__))
attempt("outside", lambda: open({str(outside / "file")!r}, "w"))
attempt("a node", lambda: os.mknod("/tmp/disk", 0o600 | 0o060000, os.makedev(8, 0)))
for path in ("/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/dev/kmsg", "/dev/mem"):
    attempt(path, lambda: os.write(os.open(path, os.O_WRONLY), b"0"))
written = []
for folder, folders, _ in os.walk("/"):
    if folder == "/":
        folders.remove("proc")
    # Deep inside /usr it is as read-only as above.
    if folder.count("/") > 5:
        folders.clear()
    try:
        open(os.path.join(folder, "hostile-marker"), "w").close()
        written.append(folder)
    except OSError:
        pass
print(sorted(written))
"""
    ran = await run_python(sandbox, code, tmp_path)
    assert ran.finished.exit_code == 0, (ran.err, ran.finished)
    assert [line for line in ran.out if "WORKED" in line] == []
    assert len(ran.out) == 9
    assert ran.out[-1] == "['/app/output', '/dev/shm', '/tmp']"
    assert (tmp_path / "program" / "main.py").read_text() == code
    assert list(outside.iterdir()) == []


async def test_taking_the_sandbox_apart(sandbox: Sandbox, tmp_path: Path) -> None:
    code = f"""{TRY}
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    done = getattr(libc, name)(*arguments)
    if done < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return done
USER, NET, MOUNT = 0x10000000, 0x40000000, 0x20000
attempt("a user namespace", lambda: call("unshare", USER))
attempt("a mount namespace", lambda: call("unshare", MOUNT))
attempt("cloned into one", lambda: call("syscall", 56 if os.uname().machine == "x86_64" else 220, USER | 17, 0, 0, 0, 0))
attempt("another's", lambda: call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0))
attempt("mount", lambda: call("mount", b"none", b"/tmp", b"tmpfs", 0, None))
attempt("remount", lambda: call("mount", None, b"/app/program", None, 0x20 | 0x1000, None))
attempt("umount", lambda: call("umount2", b"/app/program", 2))
attempt("chroot", lambda: os.chroot("/tmp"))
attempt("trace", lambda: call("ptrace", 16, 1, 0, 0))
attempt("memory of the first", lambda: os.write(os.open("/proc/1/mem", os.O_WRONLY), b"x"))
attempt("keys", lambda: call("syscall", 250 if os.uname().machine == "x86_64" else 219, 0, -4, 1))
attempt("root", lambda: os.setuid(0))
attempt("priority", lambda: os.nice(-10))
attempt("limits", lambda: __import__("resource").setrlimit(__import__("resource").RLIMIT_NPROC, (10000, 10000)))
attempt("clock", lambda: __import__("time").clock_settime(0, 0))
attempt("host name", lambda: __import__("socket").sethostname("x"))
for pid in range(2, 40000):
    if pid != os.getpid():
        try:
            os.kill(pid, 9)
            print("WORKED", pid)
        except OSError:
            pass
try:
    os.kill(-1, 9)
except OSError:
    pass
status = open("/proc/1/status").read() + open("/proc/self/status").read()
print([line.split()[1] for line in status.splitlines() if line.startswith(("CapEff", "NoNewPrivs", "Seccomp:"))])
"""
    with subprocess.Popen(["sleep", "1000"]) as neighbour:
        ran = await run_python(sandbox, code, tmp_path)
        assert neighbour.poll() is None
        neighbour.kill()
    assert ran.finished.exit_code == 0, (ran.err, ran.finished)
    assert [line for line in ran.out if "WORKED" in line] == []
    assert len(ran.out) == 17
    assert ran.out[-1] == "['0000000000000000', '1', '2', '0000000000000000', '1', '2']"


BOMBS: dict[str, tuple[str, Limits, str]] = {
    "processes": ("import os\nwhile True:\n try: os.fork()\n except OSError: pass", LIMITS, "it ran more than 32 processes"),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(1000,)).start()",
        LIMITS,
        "it ran more than 32 processes and threads at a time",
    ),
    "memory of one": (
        "kept = []\nwhile True: kept.append(bytearray(5_000_000))",
        LIMITS,
        "it used more than 256 MiB of memory",
    ),
    "memory of many": (
        "import os, time\nfor _ in range(10):\n if not os.fork(): break\nkept = os.urandom(50_000_000)\ntime.sleep(1000)",
        LIMITS,
        "it used more than 256 MiB of memory",
    ),
    "files in memory": (
        "for n in range(100):\n open(f'/tmp/{n}', 'wb').write(bytes(10_000_000))\n"
        " open(f'/dev/shm/{n}', 'wb').write(bytes(10_000_000))",
        LIMITS,
        "it used more than 256 MiB of memory",
    ),
    "shared memory without a name": (
        "import mmap\nkept = []\nwhile True:\n kept.append(mmap.mmap(-1, 5_000_000)); kept[-1].write(bytes(5_000_000))",
        LIMITS,
        "it used more than 256 MiB of memory",
    ),
    "standard output": ("while True: print('x' * 1000)", LIMITS, "it wrote more than 1 MiB to its standard output and error"),
    "empty lines": ("import sys\nwhile True: sys.stderr.write('\\n' * 100)", LIMITS, "it wrote more than 1 MiB to its"),
    "one line": ("import os\nwhile True: os.write(1, b'x' * 65536)", LIMITS, "it wrote more than 1 MiB to its"),
    "processor": ("while True: pass", replace(LIMITS, cpu_s=0.5), "it used more than 0.5 s of CPU time"),
    "processors": (
        "import os\nfor _ in range(8): os.fork()\nwhile True: pass",
        replace(LIMITS, cpu_s=0.5, processes=300),
        "it used more than 0.5 s of CPU time",
    ),
    "sleep": ("import time; time.sleep(1000)", replace(LIMITS, wall_s=0.4), "it ran for more than 0.4 s"),
    "deaf to signals": (
        "import signal, time\nfor n in range(1, 65):\n try: signal.signal(n, signal.SIG_IGN)\n except (OSError, ValueError): pass\n"
        "while True: time.sleep(1)",
        replace(LIMITS, wall_s=0.4),
        "it ran for more than 0.4 s",
    ),
    "stopped": (
        "import os, signal\nif os.fork(): os.wait()\nos.kill(os.getpid(), signal.SIGSTOP)",
        replace(LIMITS, wall_s=0.4),
        "it ran for more than 0.4 s",
    ),
    "many files": (
        "n = 0\nwhile True:\n open(f'{n}', 'w').close(); n += 1",
        LIMITS,
        "it made more than 500 files, or folders more than 32 deep",
    ),
    "deep folders": (
        "import os, time\nfor _ in range(60): os.mkdir('d'); os.chdir('d')\ntime.sleep(1000)",
        LIMITS,
        "it made more than 500 files, or folders more than 32 deep",
    ),
    "much in many files": (
        "for n in range(400): open(f'{n}', 'wb').write(bytes(15_000_000))",
        LIMITS,
        "it wrote more than 64 MiB into its folders",
    ),
    "files without a name": (
        "import os, time\nkept = []\nfor n in range(20):\n kept.append(open('x', 'wb')); kept[-1].write(bytes(15_000_000)); os.unlink('x')\n"
        "time.sleep(1000)",
        LIMITS,
        "it wrote more than 64 MiB into its folders",
    ),
    "a large file": (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nfile = open('big', 'wb')\n"
        "for _ in range(1024): file.write(bytes(10 * 1024**2))",
        LIMITS,
        "it wrote a file of more than 16 MiB",
    ),
    "a sparse file": (
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_DFL)\nopen('big', 'wb').truncate(10 * 1024**3)",
        LIMITS,
        "it wrote a file of more than 16 MiB",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb(sandbox: Sandbox, tmp_path: Path, name: str) -> None:
    code, limits, reason = BOMBS[name]
    environment = {"MARK": f"{SECRET} {name}"}
    ran = await run_python(sandbox, code, tmp_path, limits, environment)
    assert (ran.finished.stopped or "").startswith(reason), (ran.finished, ran.err[-3:])
    assert ran.finished.exit_code is None
    # Gone when `run` returns, and not a little later.
    assert processes_with(environment["MARK"]) == []
    kept = sum(path.lstat().st_blocks * 512 for path in ran.folder.rglob("*"))
    assert kept < 20 * limits.output_bytes
    assert all(output.size <= limits.file_bytes for output in collect(ran.folder, files=10**6, size=10**9)[0])
    remove(ran.folder)
    assert not ran.folder.exists()


async def test_a_file_too_large_fails_in_python_as_any_other_write(sandbox: Sandbox, tmp_path: Path) -> None:
    ran = await run_python(sandbox, "open('big', 'wb').truncate(10 * 1024**3)", tmp_path)
    assert ran.finished.exit_code == 1
    assert ran.err[-1] == "OSError: [Errno 27] File too large"
    assert (ran.folder / "big").stat().st_size == 0


async def test_what_it_leaves_behind_ends_with_it(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import os, sys, time
reader, writer = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        os.write(writer, b"x")
        time.sleep(1000)
    os._exit(0)
os.read(reader, 1)
print("the daemon is up")
"""
    mark = f"{SECRET} daemon"
    ran = await run_python(sandbox, code, tmp_path, environment={"MARK": mark})
    assert (ran.finished.exit_code, ran.out) == (0, ["the daemon is up"])
    assert processes_with(mark) == []


async def test_it_ends_with_the_scorer(tmp_path: Path) -> None:
    """However that ends: after SIGKILL nobody can clear up."""
    mark = f"{SECRET} orphan"
    scorer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import asyncio, sys\nfrom pathlib import Path\nfrom services.scorer.sandbox import Sandbox\n"
        "from tests.programs import LIMITS\n"
        "asyncio.run(Sandbox(Path(sys.argv[1])).run(['sh', '-c', 'echo up; sleep 1000'], mounts=[], folder='/tmp',"
        " environment={'MARK': sys.argv[2]}, limits=LIMITS, on_line=lambda _, line: print(line, flush=True)))",
        str(bwrap()),
        mark,
        stdout=asyncio.subprocess.PIPE,
    )
    assert scorer.stdout
    assert await scorer.stdout.readline() == b"up\n"
    running = processes_with(mark)
    watched = [os.pidfd_open(pid) for pid in running]
    assert watched
    scorer.send_signal(signal.SIGKILL)
    for pidfd in watched:
        # Until the kernel says that it is gone.
        await asyncio.get_running_loop().run_in_executor(None, select.select, [pidfd], [], [], 20)
        os.close(pidfd)
    assert processes_with(mark) == []
    await scorer.wait()


async def test_links_out_of_its_output(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    code = f"""
import os
os.symlink({str(tmp_path / "secret")!r}, "scores.json")
os.symlink("/", "root")
os.symlink("../../..", "up")
os.mkfifo("detailed_results.html")
for path in ("/app/program/main.py", "/usr/bin/env"):
    try:
        os.link(path, "hard")
        print("WORKED", path)
    except OSError as error:
        print(error.strerror)
"""
    ran = await run_python(sandbox, code, tmp_path)
    assert ran.finished.exit_code == 0, ran.err
    assert ran.out == [os.strerror(errno.EXDEV)] * 2
    found, refused = collect(ran.folder, files=10, size=1000)
    assert found == []
    assert sorted(refused) == [
        "detailed_results.html: it is no regular file",
        "root: it is a symbolic link",
        "scores.json: it is a symbolic link",
        "up: it is a symbolic link",
    ]
    remove(ran.folder)
    assert (tmp_path / "secret").read_text() == SECRET
