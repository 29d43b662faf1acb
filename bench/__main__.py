"""`python -m bench [NAME ...]` (`make bench`): the benchmarks. Without a name, all but the long ones."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from assay.errors import AssayError
from assay.session import INTERRUPTED, console, explain
from bench import (
    adaptive,
    cost,
    fairness,
    fanout,
    hung,
    latency,
    machine,
    million,
    pages,
    results,
    sandbox,
    scaling,
    throughput,
)
from bench.fixtures import Bench, running
from bench.results import Section

ITEMS, QUICK_ITEMS = 10_000, 1_000
ROUNDS = 3

Say = Callable[[str], None]


@dataclass(frozen=True)
class Benchmark:
    """One benchmark: on the stack that all share (`measure`), or on one that it starts itself in a folder (`alone`).

    `long` ones run only by name. `items` and `quick_items` are their sizes where none is given.
    """

    measure: Callable[[Bench, int, int, Say], Section] | None = None
    alone: Callable[[Path, int, int, Say], Section] | None = None
    items: int = ITEMS
    quick_items: int = QUICK_ITEMS
    long: bool = False


BENCHMARKS = {
    "throughput": Benchmark(throughput.measure),
    "latency": Benchmark(latency.measure, items=latency.ITEMS),
    "cost": Benchmark(cost.measure),
    "fairness": Benchmark(fairness.measure),
    "fanout": Benchmark(fanout.measure),
    "hung": Benchmark(hung.measure),
    "scaling": Benchmark(alone=scaling.measure, items=scaling.ITEMS),
    "sandbox": Benchmark(alone=sandbox.measure, items=sandbox.ITEMS, quick_items=sandbox.QUICK_ITEMS),
    "pages": Benchmark(alone=pages.measure, items=pages.ITEMS, quick_items=pages.QUICK_ITEMS),
    "adaptive": Benchmark(alone=adaptive.measure, items=adaptive.ITEMS, quick_items=adaptive.QUICK_ITEMS, long=True),
    "million": Benchmark(alone=million.measure, items=million.ITEMS, quick_items=million.QUICK_ITEMS, long=True),
    "log-page": Benchmark(
        alone=pages.measure_log, items=pages.LONG_LINES, quick_items=pages.LONG_LINES // 20, long=True
    ),
}


def sizes(names: Sequence[str], items: int | None, quick: bool) -> dict[str, int]:
    """How many items each of the named benchmarks has."""
    return {name: items or (BENCHMARKS[name].quick_items if quick else BENCHMARKS[name].items) for name in names}


def provenance(command: str, load: float) -> str:
    """The last line of a section: how, when and on what."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"`{command}`, {when}. {machine.describe()}. Load average before it: {load:.1f}."


def run(items: dict[str, int], quick: bool, command: str, out: Console) -> None:
    """Benchmarks by name and size, one after the other; a quick one is only shown."""

    def say(line: str) -> None:
        out.print(Text(line), style="dim")

    rounds = 1 if quick else ROUNDS
    shared = {name: size for name, size in items.items() if BENCHMARKS[name].measure}
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as root, ExitStack() as stack:
        bench: Bench | None = None
        for name in sorted(items, key=lambda name: name not in shared):  # those on one stack first, then it is stopped
            if name in shared and bench is None:
                say("Starting an embedded stack of its own ...")
                bench = stack.enter_context(running(Path(root) / "shared", max(shared.values())))
            elif name not in shared:
                stack.close()
            load = machine.load()
            chosen = BENCHMARKS[name]
            if chosen.measure:
                assert bench
                section = chosen.measure(bench, items[name], rounds, say)
            else:
                assert chosen.alone
                with tempfile.TemporaryDirectory(dir=root) as folder:
                    section = chosen.alone(Path(folder), items[name], rounds, say)
            results.show(section, out)
            if not quick:
                results.save(section, provenance(command, load))


def benchmark(text: str) -> str:
    if text not in BENCHMARKS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(BENCHMARKS)}")
    return text


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 10:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 10 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    usual = [name for name, chosen in BENCHMARKS.items() if not chosen.long]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Assay on this machine.")
    parser.add_argument(
        "names", nargs="*", type=benchmark, metavar="|".join(BENCHMARKS), help=f"default: {' '.join(usual)}"
    )
    parser.add_argument("--items", type=positive, help=f"items of an evaluation (default {ITEMS:,} in most)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one round, of {QUICK_ITEMS:,} items in most, only shown: RESULTS.md stays",
    )
    given = parser.parse_args(arguments)
    said = sys.argv[1:] if arguments is None else list(arguments)
    out = console(stderr=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        items = sizes(given.names or usual, given.items, given.quick)
        run(items, given.quick, shlex.join(["python", "-m", "bench", *said]), out)
    except KeyboardInterrupt:
        out.print("Interrupted; everything is stopped.")
        return INTERRUPTED
    except AssayError as error:
        for line in explain(error):
            print(line, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
