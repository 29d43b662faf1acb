"""pass@k against its definition, and against numbers of the paper's own code."""

from itertools import combinations

import pytest

from services.scorer.passes import Passes


def passes(samples: int, *items: list[bool]) -> dict[str, float | None]:
    counting = Passes(samples)
    for index, item in enumerate(items):
        for correct in item:
            counting.add(index, correct=correct)
    return counting.finish()


def by_definition(item: list[bool], k: int) -> float:
    """The share of all choices of k samples that have a correct one."""
    chosen = [any(choice) for choice in combinations(item, k)]
    return sum(chosen) / len(chosen)


def test_it_is_the_share_of_choices_with_a_correct_sample() -> None:
    items = [[True, False, False, False, True], [False] * 5, [True] * 5, [False, True, False, False, False]]
    assert passes(5, *items) == {
        f"pass@{k}": pytest.approx(sum(by_definition(item, k) for item in items) / len(items)) for k in range(1, 6)
    }


def test_items_with_fewer_called_samples_are_left_out_of_larger_k() -> None:
    assert passes(3, [True, False], [False, False, False]) == {"pass@1": 0.25, "pass@2": 0.5, "pass@3": 0.0}
    assert passes(2) == {"pass@1": None, "pass@2": None}


def test_many_samples_are_told_at_some_k() -> None:
    # 1 - prod(1 - k / (n - c + 1 .. n)) with n = 200, c = 13, as the paper computes it.
    found = passes(200, [True] * 13 + [False] * 187)
    assert [*found] == [*(f"pass@{k}" for k in range(1, 11)), "pass@20", "pass@50", "pass@100", "pass@200"]
    assert found["pass@1"] == pytest.approx(0.065)
    product = 1.0
    for place in range(200 - 13 + 1, 201):
        product *= 1 - 100 / place
    assert found["pass@100"] == pytest.approx(1 - product)
    assert found["pass@200"] == 1.0
