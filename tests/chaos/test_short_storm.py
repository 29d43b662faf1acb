"""A short storm over a whole evaluation: every process struck, nothing lost, nothing twice, scores equal."""

from collections.abc import Iterator

import pytest

from deploy.embedded.programs import SERVICES, STORES
from tests.chaos.playing import SHORT, Played, Stage
from tests.running import RunningStack


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with RunningStack(tmp_path_factory.mktemp("storm")) as running, Stage(running, SHORT) as ready:
        yield ready


@pytest.fixture(scope="module")
def undisturbed(stage: Stage) -> Played:
    return stage.play()


def test_the_undisturbed_evaluation_is_whole(undisturbed: Played) -> None:
    assert undisturbed.differences(undisturbed) == []
    assert undisturbed.repeated == 0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", [1, pytest.param(14, marks=pytest.mark.large)])
def test_an_evaluation_in_a_storm(stage: Stage, undisturbed: Played, seed: int) -> None:
    played = stage.play(seed)
    assert played.differences(undisturbed) == [], "\n".join(played.log)
    assert (played.lost, played.twice) == (0, 0)
    assert played.scores_equal(undisturbed)
    # At 25 calls a second the evaluation takes longer than these seeds need to strike each process once.
    assert set(played.killed + played.stopped) == {*STORES, *SERVICES} - {"predictor"} | {"predictor-1", "predictor-2"}
