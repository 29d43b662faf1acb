"""The storm is the same for the same seed, and leaves nobody out."""

from itertools import islice

import pytest

from tests.chaos.storm import GAP_S, Blow, storm

TARGETS = ["nats", "mongo", "objects", "artifacts", "scorer", "predictor-1", "predictor-2", "orchestrator", "gateway"]


def first(seed: int, blows: int) -> list[Blow]:
    return list(islice(storm(seed, TARGETS), blows))


def test_the_same_seed_is_the_same_storm_and_another_one_is_another() -> None:
    assert first(1, 50) == first(1, 50)
    assert first(1, 50) != first(2, 50)


@pytest.mark.parametrize("seed", range(5))
def test_each_process_is_struck_once_before_any_is_struck_again(seed: int) -> None:
    struck = [target for blow in first(seed, 200) for target in blow.targets]
    rounds = [struck[at : at + len(TARGETS)] for at in range(0, len(struck) - len(TARGETS), len(TARGETS))]
    assert all(sorted(each) == sorted(TARGETS) for each in rounds)


def test_it_kills_and_stops_one_and_two_at_once_with_gaps_that_differ() -> None:
    blows = first(3, 300)
    assert {len(blow.targets) for blow in blows} == {1, 2}
    slept = [blow.sleep_s for blow in blows if blow.sleep_s is not None]
    assert 20 < len(slept) < 80
    assert min(slept) < 5 < 15 < max(slept)
    assert all(GAP_S[0] <= blow.gap_s <= GAP_S[1] for blow in blows)
    assert len({blow.gap_s for blow in blows}) > 100


def test_it_pauses_once_each_has_been_struck() -> None:
    blows = first(4, 100)
    pauses = [at for at, blow in enumerate(blows) if blow.after_calm]
    struck = [target for blow in blows[: pauses[0]] for target in blow.targets]
    assert sorted(struck) == sorted(TARGETS)
    assert not blows[0].after_calm
    assert len(pauses) > 5
