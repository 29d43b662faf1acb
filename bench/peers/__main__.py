"""`python -m bench.peers [TOOL ...] [SCENARIO ...]` (`make bench-peers`): Assay beside other tools, all of both by default."""

import argparse
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop
from rich.console import Console
from rich.text import Text

from assay.errors import AssayError
from assay.session import INTERRUPTED, console, explain
from bench import machine, results
from bench.__main__ import provenance
from bench.fixtures import BenchError, sample_endpoint
from bench.loops import aiohttp_loop
from bench.peers import items as data
from bench.peers.assay_stack import AssayCommand, AssaySdk, AssayStack
from bench.peers.contender import Contender, PeerContender
from bench.peers.endpoint import Endpoint
from bench.peers.evalscope import EvalScope
from bench.peers.found import Found, told_of_kill
from bench.peers.inspect_ai import InspectAi
from bench.peers.lm_eval import LmEval
from bench.peers.peer import Peer
from bench.peers.promptfoo import Promptfoo
from bench.peers.scenarios import ALL, CONNECTIONS, MANY, MANY_WITHIN_S, MODEL, SPEED, WARM, Scenario, Sizes
from bench.peers.tables import Cell, section

FULL = Sizes(small=data.SIZE, large=data.SIZE * data.COPIES, bound_s=240)
QUICK = Sizes(small=160, large=480, bound_s=120)

PEERS: dict[str, Peer] = {peer.name: peer for peer in (LmEval(), Promptfoo(), InspectAi(), EvalScope())}
OURS = (AssayCommand.name, AssaySdk.name)

Say = Callable[[str], None]


def installed(peers: Sequence[Peer], say: Say) -> dict[str, str]:
    """Installs what is not there yet; the complaint of each that failed, by name."""
    failed = {}
    for peer in peers:
        since = time.monotonic()
        try:
            peer.install()
        except BenchError as error:
            failed[peer.name] = f"not installed: {error}"
        say(f"{peer.title}: {failed.get(peer.name, f'installed ({time.monotonic() - since:.0f} s)')}")
    return failed


def measured(contender: Contender, scenario: Scenario, before: dict[str, Cell], sizes: Sizes) -> Cell:
    """One cell; a large set only for a tool that got through the small one fast enough."""
    if scenario is MANY:
        small = before.get(SPEED.name)
        if not isinstance(small, Found) or not small.whole:
            return f"{sizes.small:,} only"
        if sizes.large / small.per_s > MANY_WITHIN_S:
            return f"{sizes.small:,} only (would take {sizes.large / small.per_s:.0f} s)"
    try:
        return contender.measure(scenario)
    except AssayError as error:
        return str(error)


def run(tools: Sequence[str], scenarios: Sequence[Scenario], sizes: Sizes, save: str | None, out: Console) -> None:
    """Every scenario, all tools in turn in each. `save`: the command, where RESULTS.md is to be written (after each scenario)."""

    def say(line: str) -> None:
        out.print(Text(line), style="dim")

    load = machine.load()
    chosen = [PEERS[tool] for tool in tools if tool in PEERS]
    failed = installed(chosen, say)
    rows = data.load()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="assay-bench-peers-")))
        answers = rows.write(folder / "answers.jsonl", len(rows.rows))
        endpoint = Endpoint(opened.enter_context(sample_endpoint(answers, MODEL)))
        # The endpoint looks every question up once.
        uvloop.run(aiohttp_loop(endpoint.base_url, bodies(rows), CONNECTIONS))
        contenders: list[Contender] = []
        up_s = None
        if ours := [kind for kind in (AssayCommand, AssaySdk) if kind.name in tools]:
            stack = opened.enter_context(AssayStack.running(folder, rows, sizes, endpoint))
            contenders += [kind(stack) for kind in ours]
            up_s = stack.up_s
        contenders += [PeerContender(peer, rows, sizes, endpoint) for peer in chosen if peer.name not in failed]
        for each in contenders:
            say(f"{each.title}: {cell_text(measured(each, WARM, {}, sizes))} (to warm up)")
        titles = {each.name: f"{each.title} ({each.version()})" for each in contenders}
        titles |= {peer.name: peer.title for peer in chosen if peer.name in failed}
        grid: dict[str, dict[str, Cell]] = {tool: {} for tool in titles}
        for tool, complaint in failed.items():
            grid[tool] = {scenario.name: complaint for scenario in scenarios}
        for scenario in scenarios:
            for each in contenders:
                found = measured(each, scenario, grid[each.name], sizes)
                grid[each.name][scenario.name] = found
                say(f"{scenario.title}: {each.title}: {cell_text(found)}")
            shown = section(titles, grid, sizes, rows.what, up_s)
            if save is not None:
                results.save(shown, provenance(save, load))
        results.show(shown, out)


def cell_text(found: Cell) -> str:
    return told_of_kill(found) if isinstance(found, Found) else found


def bodies(rows: data.Items) -> list[dict[str, object]]:
    """The requests as every tool sends them."""
    return [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": data.TEMPLATE.format(question=row["question"])}],
            **data.GENERATION,
        }
        for row in rows.rows
    ]


def word(text: str) -> str:
    if text not in (*OURS, *PEERS, *ALL):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join((*OURS, *PEERS, *ALL))}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description="Measures Assay beside other tools.")
    parser.add_argument(
        "names",
        nargs="*",
        type=word,
        metavar="NAME",
        help=f"tools: {', '.join((*OURS, *PEERS))}; what: {', '.join(ALL)}",
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK.small} and {QUICK.large} items, only shown: RESULTS.md stays"
    )
    parser.add_argument("--install", action="store_true", help="only install the tools")
    given = parser.parse_args(arguments)
    tools = [name for name in (*OURS, *PEERS) if name in given.names] or [*OURS, *PEERS]
    scenarios = [ALL[name] for name in ALL if name in given.names] or [*ALL.values()]
    said = sys.argv[1:] if arguments is None else list(arguments)
    # Half a table in the place of a whole one would be a loss.
    save = None if given.quick or given.names else shlex.join(["python", "-m", "bench.peers", *said])
    out = console(stderr=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if given.install:
            failed = installed([PEERS[tool] for tool in tools if tool in PEERS], lambda line: out.print(Text(line)))
            return 1 if failed else 0
        run(tools, scenarios, QUICK if given.quick else FULL, save, out)
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
