"""When a call is tried again."""

import random

from services.predictor.answers import CallFailed, Trouble
from services.predictor.retries import CAP_S, RETRY_AFTER_CAP_S, pause_before_retry

RNG = random.Random(1)


def failure(*, retryable: bool = True, retry_after: float | None = None) -> CallFailed:
    return CallFailed("HTTP 500", retryable=retryable, kind="HTTP 500", retry_after=retry_after)


def test_what_never_passes_is_not_tried_again() -> None:
    assert pause_before_retry(failure(retryable=False), 1, 5, RNG) is None


def test_the_last_attempt_is_the_last() -> None:
    assert pause_before_retry(failure(), 5, 5, RNG) is None
    assert pause_before_retry(failure(), 4, 5, RNG) is not None


def test_pauses_double_up_to_a_cap_with_jitter_in_the_upper_half() -> None:
    for attempt, bound in ((1, 0.5), (2, 1.0), (3, 2.0), (20, CAP_S)):
        for _ in range(50):
            pause = pause_before_retry(failure(), attempt, 50, RNG)
            assert pause is not None
            assert bound / 2 <= pause <= bound


def test_retry_after_is_a_floor_with_jitter_on_top() -> None:
    pause = pause_before_retry(failure(retry_after=7), 1, 5, RNG)
    assert pause is not None
    assert 7 <= pause <= 7.5


def test_an_absurd_retry_after_does_not_hold_a_slot_for_hours() -> None:
    pause = pause_before_retry(failure(retry_after=86400), 1, 5, RNG)
    assert pause is not None
    assert pause <= RETRY_AFTER_CAP_S + 0.5


def test_after_a_deadline_the_call_is_made_again_at_once() -> None:
    hung = CallFailed("no answer within 10 s", retryable=True, kind="timeout", trouble=Trouble.TIMEOUT)
    assert pause_before_retry(hung, 1, 5, RNG) == 0
    assert pause_before_retry(hung, 5, 5, RNG) is None
