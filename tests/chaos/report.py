"""What the long storm has shown, as a section of `bench/RESULTS.md`."""

from collections import Counter
from collections.abc import Iterable, Mapping

from bench.results import Section, Table
from tests.chaos.playing import Played

WHAT = """Evaluations in a storm: one of 400 items on each of two models, one of 40 items with three samples, one of 10, one that is cancelled in
the storm and one that is redriven in it, while every process of the stack, nats-server, mongod and the object store among them (and a
second orchestrator and scorer), is killed with SIGKILL
(sometimes two at once, sometimes stopped for up to 18 s instead) at moments that the seed decides, and while the
endpoint fails 5 % of its calls with 500, never answers 0.5 %, and refuses with 429 above a rate.

*Lost* are samples without a result and *twice* results beyond one a sample, both as MongoDB itself has them; *equal* are scores, every row,
every file and the log, against the same evaluations undisturbed. *Repeated* are answers of the endpoint beyond one for each
result: what a kill may cost. `make chaos SEED=n` repeats one seed."""


def section(played: Mapping[int, Played | None], undisturbed: Mapping[int, Played]) -> Section:
    """A row a seed, and a row a process. None is a seed whose evaluations could not be played to their end."""
    return Section("chaos", "Chaos", WHAT, [_seeds(played, undisturbed), _processes(played.values())])


def _seeds(played: Mapping[int, Played | None], undisturbed: Mapping[int, Played]) -> Table:
    rows = []
    for seed, each in played.items():
        if each is None:
            rows.append([str(seed), *["-"] * 5, "no", "-", "-"])
            continue
        equal = not each.differences(undisturbed[seed])
        rows.append(_row(str(seed), [each], "yes" if equal else "no"))
    whole = [each for each in played.values() if each is not None]
    equal_seeds = sum(row[6] == "yes" for row in rows)
    rows.append(_row("all", whole, f"{equal_seeds} of {len(played)}"))
    columns = ["seed", "killed", "stopped", "samples", "lost", "twice", "equal", "repeated", "s"]
    return Table(f"{len(played)} seeds", columns, rows)


def _row(name: str, played: list[Played], equal: str) -> list[str]:
    counts = (
        sum(each.killed.total() for each in played),
        sum(each.stopped.total() for each in played),
        sum(each.items for each in played),
        sum(each.lost for each in played),
        sum(each.twice for each in played),
    )
    repeated, seconds = sum(each.repeated for each in played), sum(each.seconds for each in played)
    return [name, *(f"{count:,}" for count in counts), equal, f"{repeated:,}", f"{seconds:,.0f}"]


def _processes(played: Iterable[Played | None]) -> Table:
    killed: Counter[str] = Counter()
    stopped: Counter[str] = Counter()
    for each in played:
        if each is not None:
            killed += each.killed
            stopped += each.stopped
    rows = [[name, f"{killed[name]:,}", f"{stopped[name]:,}"] for name in sorted({*killed, *stopped})]
    return Table("By process", ["process", "killed", "stopped"], rows)
