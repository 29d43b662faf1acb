"""What programs can count on in the sandbox, and what happens where there is none. What they must not do is in test_sandbox_hostile.py."""

import asyncio
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from services.scorer.sandbox import Limits, Mount, NoSandbox, Sandbox
from shared.settings import Settings
from tests.programs import LIMITS, Ran, bwrap, processes_with, run_python


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    sandbox = Sandbox(bwrap())
    yield sandbox
    sandbox.close()


async def test_a_program_reads_its_folder_writes_its_output_and_says_how_it_ended(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    code = """
import os, sys, tempfile
print(os.getcwd(), os.environ["GIVEN"], sorted(os.listdir("/app/program")))
open("scores.json", "w").write("{}")
tempfile.NamedTemporaryFile().write(b"x")
print("to standard error", file=sys.stderr)
print("no newline at the end", end="")
sys.exit(3)
"""
    ran = await run_python(sandbox, code, tmp_path, environment={"GIVEN": "a value"})
    assert (ran.finished.exit_code, ran.finished.stopped) == (3, None)
    assert ran.out == ["/app/output a value ['main.py']", "no newline at the end"]
    assert ran.err == ["to standard error"]
    assert (ran.folder / "scores.json").read_text() == "{}"


async def test_its_python_has_the_packages_that_are_installed_with_assay_and_not_assay(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    code = """
import importlib.util, multiprocessing, sys, threading
import numpy, pandas, sklearn.metrics
print(sklearn.metrics.accuracy_score(numpy.array([1, 0]), pandas.Series([1, 1])))
print(multiprocessing.Pool(2).map(abs, [-1, 2]))
thread = threading.Thread(target=print, args=("a thread",)); thread.start(); thread.join()
print([importlib.util.find_spec(name) for name in ("services", "shared", "gateway")], sys.prefix)
"""
    limits = replace(LIMITS, memory_bytes=1024**3)
    ran = await run_python(sandbox, code, tmp_path, limits)
    assert ran.err == []
    assert ran.out == ["0.5", "[1, 2]", "a thread", f"[None, None, None] {sys.prefix}"]


async def test_time_on_the_processor_is_counted_for_the_programs_children_too(sandbox: Sandbox, tmp_path: Path) -> None:
    code = """
import subprocess, sys, time
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn])
"""
    ran = await run_python(sandbox, code, tmp_path)
    assert 0.3 <= ran.finished.cpu_s <= ran.finished.wall_s + 0.1


async def test_what_a_signal_ended_has_its_number(sandbox: Sandbox, tmp_path: Path) -> None:
    ran = await run_python(sandbox, "import os; os.kill(os.getpid(), 11)", tmp_path)
    assert (ran.finished.exit_code, ran.finished.stopped) == (128 + 11, None)


async def test_a_command_that_is_not_there_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    said: list[str] = []
    finished = await sandbox.run(
        ["no-such-program"],
        mounts=[],
        folder="/tmp",
        environment={},
        limits=LIMITS,
        on_line=lambda _, line: said.append(line),
    )
    assert finished.exit_code == 127
    assert said == ["cannot run no-such-program: No such file or directory"]


async def test_cancelling_kills_it(sandbox: Sandbox, tmp_path: Path) -> None:
    started = asyncio.Event()
    running = asyncio.create_task(
        sandbox.run(
            ["sh", "-c", "echo up; sleep 1000"],
            mounts=[],
            folder="/tmp",
            environment={"MARK": "cancelled 7f3a"},
            limits=LIMITS,
            on_line=lambda *_: started.set(),
        )
    )
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_with("cancelled 7f3a") == []


async def test_more_than_may_run_at_once_wait(tmp_path: Path) -> None:
    sandbox = Sandbox(bwrap(), at_once=1)
    rans: list[Ran] = []
    code = "import os, time; print(time.time()); time.sleep(0.1); print(time.time())"

    async def one(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        rans.append(await run_python(sandbox, code, folder))

    await asyncio.gather(one("first"), one("second"), one("third"))
    spans = sorted((float(ran.out[0]), float(ran.out[1])) for ran in rans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))
    sandbox.close()


async def test_another_python_is_the_one_that_the_setting_names(tmp_path: Path) -> None:
    other = tmp_path / "other"
    os.chmod(tmp_path, 0o755)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "venv", "--without-pip", str(other))
    assert await process.wait() == 0
    sandbox = Sandbox(bwrap(), python=other / "bin/python3")
    ran = await run_python(sandbox, "import sys; print(sys.prefix)", tmp_path)
    assert ran.out == [str(other)]
    sandbox.close()


async def test_without_bubblewrap_nothing_runs_and_the_message_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(NoSandbox, match=r"install bubblewrap \(`apt install bubblewrap`\).*ASSAY_BWRAP"):
        await run_python(Sandbox(None), "open('ran', 'w')", tmp_path)
    with pytest.raises(NoSandbox, match=r"/nowhere/bwrap cannot be run: No such file"):
        await run_python(Sandbox(Path("/nowhere/bwrap")), "open('ran', 'w')", tmp_path)
    with pytest.raises(NoSandbox, match=r"ASSAY_PROGRAM_PYTHON is /nowhere/python"):
        await run_python(Sandbox(bwrap(), python=Path("/nowhere/python")), "open('ran', 'w')", tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


async def test_a_bubblewrap_that_cannot_confine_runs_nothing_and_its_complaint_is_passed_on(tmp_path: Path) -> None:
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(
        NoSandbox, match=r"cannot make a sandbox here \(bwrap: No permissions to create new namespace\)"
    ):
        await run_python(Sandbox(broken), "open('ran', 'w')", tmp_path)
    assert list((tmp_path / "output").iterdir()) == []


async def test_an_operator_may_do_without_in_as_many_words(tmp_path: Path) -> None:
    sandbox = Sandbox.of(Settings(sandbox="none-run-hostile-code-unconfined"))
    code = """
import os, sys
print(os.getcwd(), os.environ["WHERE"], os.path.exists(sys.argv[0]))
open("scores.json", "w").write("{}")
"""
    ran = await run_python(sandbox, code, tmp_path, environment={"WHERE": "/app/output/x:/app/outputs"})
    assert ran.finished.exit_code == 0
    assert ran.out == [f"{ran.folder} {ran.folder}/x:/app/outputs True"]
    assert (ran.folder / "scores.json").read_text() == "{}"
    limits = replace(LIMITS, wall_s=0.3)
    ran = await run_python(
        sandbox, "import os, time\nif os.fork(): time.sleep(1000)\ntime.sleep(1001)", tmp_path, limits
    )
    assert ran.finished.stopped == "it ran for more than 0.3 s"
    sandbox.close()


async def test_a_writable_folder_may_be_its_owners_alone(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "output").mkdir(mode=0o700)
    ran = await run_python(sandbox, "import os; print(os.getcwd()); open('scores.json', 'w')", tmp_path)
    assert ran.out == ["/app/output"]
    assert os.listdir(ran.folder) == ["scores.json"]


async def test_a_folder_that_the_programs_user_cannot_read_is_no_riddle(sandbox: Sandbox, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    running = sandbox.run(
        ["true"],
        mounts=[Mount(closed, "/app/input")],
        folder="/",
        environment={},
        limits=Limits(wall_s=5, cpu_s=5, memory_bytes=LIMITS.memory_bytes),
        on_line=lambda *_: None,
    )
    if os.geteuid() == 0:
        with pytest.raises(ValueError, match="closed is to be read in the sandbox"):
            await running
    else:
        assert (await running).exit_code == 0


async def test_closing_kills_what_runs(tmp_path: Path) -> None:
    sandbox = Sandbox(bwrap())
    started = asyncio.Event()
    running = asyncio.create_task(
        sandbox.run(
            ["sh", "-c", "echo up; sleep 1000"],
            mounts=[],
            folder="/tmp",
            environment={"MARK": "closed 7f3a"},
            limits=LIMITS,
            on_line=lambda *_: started.set(),
        )
    )
    await started.wait()
    sandbox.close()
    assert (await running).stopped == "it was cancelled"
    assert processes_with("closed 7f3a") == []


async def test_runs_leave_no_descriptor_and_no_zombie(sandbox: Sandbox, tmp_path: Path) -> None:
    limits = replace(LIMITS, wall_s=0.2)
    await run_python(sandbox, "pass", tmp_path)
    before, dead_before = len(os.listdir("/proc/self/fd")), zombies()
    for code in ("pass", "import time; time.sleep(1000)", "import os; os.fork() or os.setsid() or os.fork()"):
        await run_python(sandbox, code, tmp_path, limits)
    with pytest.raises(NoSandbox):
        await run_python(Sandbox(Path("/bin/false")), "pass", tmp_path)
    with pytest.raises(NoSandbox):
        await run_python(Sandbox(Path("/nowhere")), "pass", tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
    assert zombies() <= dead_before


def zombies() -> set[str]:
    """Children of this process that have ended and that nobody has asked about; other tests may have left some."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return {pid for pid in children if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"}
