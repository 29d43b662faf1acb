"""`python -m bench [throughput] [latency] [cost] [fanout]` (`make bench`): the benchmarks, all by default, on a stack of their own."""

import argparse
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.text import Text

from assay.errors import AssayError
from assay.session import INTERRUPTED, console, explain
from bench import cost, fanout, latency, machine, results, throughput
from bench.fixtures import Bench, running
from bench.results import Section

ITEMS, QUICK_ITEMS = 10_000, 1_000
ROUNDS = 3

Measure = Callable[[Bench, int, int, Callable[[str], None]], Section]
BENCHMARKS: dict[str, Measure] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "cost": cost.measure,
    "fanout": fanout.measure,
}


def provenance(command: str, load: float) -> str:
    """The last line of a section: how, when and on what."""
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"`{command}`, {when}. {machine.describe()}. Load average before it: {load:.1f}."


def run(names: Sequence[str], items: int, quick: bool, command: str, out: Console) -> None:
    """The named benchmarks, one after the other; a quick one is only shown."""

    def say(line: str) -> None:
        out.print(Text(line), style="dim")

    rounds = 1 if quick else ROUNDS
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        say("Starting an embedded stack of its own ...")
        with running(Path(folder), max(items, latency.ITEMS)) as bench:
            for name in names:
                load = machine.load()
                size = min(items, latency.ITEMS) if name == "latency" else items
                section = BENCHMARKS[name](bench, size, rounds, say)
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
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures Assay on this machine.")
    parser.add_argument("names", nargs="*", type=benchmark, metavar="|".join(BENCHMARKS), help="default: all")
    parser.add_argument("--items", type=positive, help=f"items of an evaluation (default {ITEMS:,})")
    parser.add_argument(
        "--quick", action="store_true", help=f"one round of {QUICK_ITEMS:,} items, only shown: RESULTS.md stays"
    )
    given = parser.parse_args(arguments)
    items = given.items or (QUICK_ITEMS if given.quick else ITEMS)
    said = sys.argv[1:] if arguments is None else list(arguments)
    out = console(stderr=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        run(given.names or list(BENCHMARKS), items, given.quick, shlex.join(["python", "-m", "bench", *said]), out)
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
