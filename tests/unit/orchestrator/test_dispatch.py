"""How a model's window is sized and shared."""

from hypothesis import given
from hypothesis import strategies as st

from services.orchestrator.dispatch import WINDOW_CAP, AtJudge, Claim, Rate, share, window

claims = st.lists(
    st.builds(Claim, st.integers(0, 500), st.integers(0, 100_000), st.integers(1, 100)), min_size=1, max_size=8
)


def test_the_window_is_twice_the_concurrency_where_calls_are_long() -> None:
    assert window(64, landed_per_s=128) == 128


def test_the_window_widens_where_calls_are_shorter_than_a_refill() -> None:
    assert window(64, landed_per_s=4000) == 64 + 800


def test_the_window_has_an_end() -> None:
    assert window(4096, landed_per_s=1e9) == WINDOW_CAP


def test_two_evaluations_share_evenly() -> None:
    assert share(128, [Claim(0, 10_000, 1), Claim(0, 10_000, 1)]) == [64, 64]


def test_priority_weighs() -> None:
    assert share(120, [Claim(0, 10_000, 1), Claim(0, 10_000, 2)]) == [40, 80]


def test_a_small_evaluation_behind_a_huge_one_gets_what_becomes_free() -> None:
    # The huge one has filled the window; of what has just landed the newcomer gets all until it is even.
    assert share(128, [Claim(100, 100_000, 1), Claim(0, 50, 1)]) == [0, 28]


def test_what_an_evaluation_cannot_use_goes_to_the_others() -> None:
    assert share(100, [Claim(0, 10, 1), Claim(0, 1000, 1)]) == [10, 90]


@given(st.integers(1, 5000), claims)
def test_grants_fill_the_window_and_never_more(size: int, claims: list[Claim]) -> None:
    grants = share(size, claims)
    room = max(0, size - sum(claim.outstanding for claim in claims))
    assert sum(grants) == min(room, sum(claim.remaining for claim in claims))
    assert all(0 <= grant <= claim.remaining for grant, claim in zip(grants, claims, strict=True))


def test_the_rate_settles_at_what_lands() -> None:
    rate = Rate()
    for tick in range(100):
        rate.add(50, tick * 0.1)
    assert 450 < rate.per_s < 550


def test_an_orchestrators_part_of_the_window() -> None:
    assert window(64, landed_per_s=120, part=0.25) == 32
    assert window(64, landed_per_s=4000, part=0.25) == 16 + 200
    assert window(1, landed_per_s=0, part=0.01) == 1
    assert window(4096, landed_per_s=1e9, part=0.5) == WINDOW_CAP // 2


@given(st.integers(1, 4096), st.floats(0, 1e5), st.lists(st.integers(1, 100), min_size=1, max_size=5))
def test_the_parts_make_up_the_whole(concurrency: int, landed_per_s: float, weights: list[int]) -> None:
    parts = [weight / sum(weights) for weight in weights]
    windows = [window(concurrency, landed_per_s, part) for part in parts]
    assert abs(sum(windows) - window(concurrency, landed_per_s)) <= len(parts) + 1


def test_what_waits_for_a_judge_is_what_was_counted_less_what_has_landed_since() -> None:
    waiting = AtJudge(counted=10, done=100, most=10)
    assert [waiting.now(done) for done in (100, 104, 110, 150)] == [10, 6, 0, 0]
    assert waiting.is_full(100)
    assert not waiting.is_full(101)


def test_without_a_judge_nothing_waits_for_one() -> None:
    assert AtJudge().now(50) == 0
    assert not AtJudge().is_full(0)
