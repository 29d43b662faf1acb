"""`python -m tests.chaos [--seeds N | --seed K]` (`make chaos`): the long storm, and its figures in `bench/RESULTS.md`."""

import argparse
import shlex
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

from bench import machine, results
from bench.__main__ import provenance
from tests.chaos.playing import LONG, Played, Stage
from tests.chaos.report import section
from tests.running import RunningStack

SEEDS = 20
INTERRUPTED = 130
SHOWN = 20


class Storms:
    """Plays one seed after the other, on one stack for as long as all goes well. A seed that fails leaves its stack's folder behind."""

    def __init__(self) -> None:
        self.played: dict[int, Played | None] = {}
        """None where the evaluations could not be played to their end."""
        self.undisturbed: dict[int, Played] = {}
        self.failed: dict[int, Path] = {}
        """Seeds with the folders of their stacks, logs included."""

    def run(self, seeds: Sequence[int]) -> None:
        waiting = list(seeds)
        while waiting:
            folder = Path(tempfile.mkdtemp(prefix="assay-chaos-"))
            failures = len(self.failed)
            with RunningStack(folder) as running, Stage(running, LONG) as stage:
                undisturbed = stage.play()
                if wrong := undisturbed.differences(undisturbed):
                    raise SystemExit("\n".join(["the undisturbed run is not whole:", *wrong]))
                say(f"undisturbed: {undisturbed.items:,} samples in {undisturbed.seconds:.0f} s")
                while waiting and len(self.failed) == failures:
                    self._play(stage, waiting.pop(0), undisturbed, folder)
            if len(self.failed) == failures:
                shutil.rmtree(folder, ignore_errors=True)

    def _play(self, stage: Stage, seed: int, undisturbed: Played, folder: Path) -> None:
        self.undisturbed[seed] = undisturbed
        self.played[seed] = None
        try:
            self.played[seed] = played = stage.play(seed)
            wrong = played.differences(undisturbed)
        except Exception:
            played, wrong = None, traceback.format_exc().splitlines()
        if played:
            say(
                f"seed {seed}: {played.killed.total()} kills, {played.stopped.total()} stops, {played.items:,} samples,"
                f" {played.lost} lost, {played.twice} twice, {played.repeated} calls repeated, {played.seconds:.0f} s:"
                f" {'DIFFERENT' if wrong else 'equal'}"
            )
        if wrong:
            self.failed[seed] = folder
            for line in (*(played.log if played else ()), *wrong[:SHOWN]):
                say(f"  {line}")
            say(f"seed {seed} FAILED; `make chaos SEED={seed}` repeats it, its stack's logs are in {folder / 'logs'}")


def say(line: str) -> None:
    print(line, flush=True)


def positive(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Evaluations in storms of SIGKILL.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seeds", type=positive, default=SEEDS, help=f"seeds 1 to this one (default {SEEDS})")
    which.add_argument("--seed", type=positive, help="this one alone, only shown: RESULTS.md stays")
    given = parser.parse_args(arguments)
    said = sys.argv[1:] if arguments is None else list(arguments)
    load = machine.load()
    storms = Storms()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        storms.run([given.seed] if given.seed else range(1, given.seeds + 1))
    except KeyboardInterrupt:
        say("Interrupted; everything is stopped.")
        return INTERRUPTED
    shown = section(storms.played, storms.undisturbed)
    for table in shown.tables:
        say(f"\n{table.markdown()}")
    if not given.seed:
        results.save(shown, provenance(shlex.join(["python", "-m", "tests.chaos", *said]), load))
    for seed, folder in storms.failed.items():
        say(f"seed {seed} failed: `make chaos SEED={seed}`; logs in {folder / 'logs'}")
    return 1 if storms.failed else 0


if __name__ == "__main__":
    sys.exit(main())
