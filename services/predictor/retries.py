"""When to call again. Pure: the worker sleeps and calls."""

import random

from services.predictor.answers import CallFailed, Trouble

BASE_S = 0.5
CAP_S = 20.0
RETRY_AFTER_CAP_S = 120.0
"""A longer `Retry-After` would hold a slot of the model's concurrency without a call for minutes."""


def pause_before_retry(failure: CallFailed, attempt: int, max_attempts: int, rng: random.Random) -> float | None:
    """Seconds to wait after the failed `attempt` (from 1), or None where it was the last.

    Exponential back-off with equal jitter (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015);
    the endpoint's own `Retry-After` is a floor under it, with jitter on top so that waiting calls do not return as one.
    """
    if not failure.retryable or attempt >= max_attempts:
        return None
    if failure.trouble is Trouble.TIMEOUT and failure.retry_after is None:
        return 0.0  # the deadline was pause enough; where many time out, the model's limit is cut
    bound = min(CAP_S, BASE_S * 2.0 ** (attempt - 1))
    jittered = bound / 2 + rng.random() * bound / 2
    if failure.retry_after is None:
        return jittered
    return min(failure.retry_after, RETRY_AFTER_CAP_S) + rng.random() * BASE_S
