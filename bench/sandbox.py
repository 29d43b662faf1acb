"""What the sandbox costs a run: the same program without it, with the watching alone, and confined."""

import asyncio
import os
import resource
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median, quantiles

from bench.results import Section, Table
from deploy.embedded import parts
from services.scorer.sandbox import Limits, Mount, Sandbox
from services.scorer.sandbox.limits import MiB
from shared.errors import AssayError

ITEMS, QUICK_ITEMS = 20, 10
"""Runs of each program in each way, a round."""

PROGRAMS = {
    "nothing": "",
    "imports numpy": "import numpy",
    "counts for a while": "for _ in range(10_000_000): pass",
}
LIMITS = Limits(wall_s=60, cpu_s=60, memory_bytes=1024 * MiB)
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1"}

Run = Callable[[str, Path], Awaitable[None]]

WHAT = """What a run of a program costs beside a plain `python3 program.py`: *watched* has the same limits and the same reading of what it says
without bubblewrap (`ASSAY_SANDBOX=none-run-hostile-code-unconfined`), *sandbox* is what every run has. Each run is a new process
and, in the sandbox, a new set of namespaces; runs follow each other, and the three ways take turns. CPU is that of the program and of
Assay, which watches. Programs run at a lower priority (`nice` 5) than Assay, so that a busy machine adds to both."""


async def _bare(code: str, folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(folder / "program" / code)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, **_ENVIRONMENT},
    )
    _ended(await process.wait())


def _in(sandbox: Sandbox) -> Run:
    async def run(code: str, folder: Path) -> None:
        finished = await sandbox.run(
            ["python3", f"/app/program/{code}"],
            mounts=[Mount(folder / "program", "/app/program"), Mount(folder / "output", "/app/output", writable=True)],
            folder="/app/program",
            environment=_ENVIRONMENT,
            limits=LIMITS,
            on_line=lambda *_: None,
        )
        _ended(finished.exit_code)

    return run


def _ended(code: int | None) -> None:
    if code != 0:
        raise AssayError(f"a program of the benchmark ended with {code}")


def _cpu_s() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def measure(folder: Path, items: int, rounds: int, say: Callable[[str], None]) -> Section:
    """`items` runs of each program in each way, `rounds` times."""
    bwrap = parts.bubblewrap(say)
    if bwrap is None:
        raise AssayError("there is no bubblewrap to measure")
    for name in ("program", "output"):
        (folder / name).mkdir()
        (folder / name).chmod(0o755)
    # The benchmark's own folder is its user's alone; what is mounted out of it is not.
    for number, code in enumerate(PROGRAMS.values()):
        (folder / "program" / f"{number}.py").write_text(code)
        (folder / "program" / f"{number}.py").chmod(0o644)
    sandboxes = Sandbox(None, unconfined=True), Sandbox(bwrap)
    ways = {"python3": _bare, "watched": _in(sandboxes[0]), "sandbox": _in(sandboxes[1])}
    rows = asyncio.run(_rows(ways, folder, items, rounds, say))
    for sandbox in sandboxes:
        sandbox.close()
    columns = ["", "median ms", "95 % ms", "more than python3, ms", "CPU ms"]
    title = f"{items} runs of each, {rounds} round{'' if rounds == 1 else 's'}"
    return Section("sandbox", "The sandbox", WHAT, [Table(title, columns, rows)])


async def _rows(
    ways: dict[str, Run], folder: Path, items: int, rounds: int, say: Callable[[str], None]
) -> list[list[str]]:
    rows = []
    for number, name in enumerate(PROGRAMS):
        took: dict[str, list[float]] = {way: [] for way in ways}
        cpu = dict.fromkeys(ways, 0.0)
        for _ in range(items * rounds):
            for way, run in ways.items():
                cpu_began, began = _cpu_s(), time.perf_counter()
                await run(f"{number}.py", folder)
                took[way].append((time.perf_counter() - began) * 1e3)
                cpu[way] += (_cpu_s() - cpu_began) * 1e3
        plain = median(took["python3"])
        for way, times in took.items():
            more = "" if way == "python3" else f"{median(times) - plain:,.1f}"
            high = quantiles(times, n=20)[-1]
            rows.append(
                [f"{name}: {way}", f"{median(times):,.1f}", f"{high:,.1f}", more, f"{cpu[way] / len(times):,.1f}"]
            )
        say(f"sandbox: {name} done")
    return rows
