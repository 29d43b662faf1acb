"""pass@k: how likely at least one of k samples of an item is correct.

The unbiased estimator of Chen et al. 2021, 'Evaluating Large Language Models Trained on Code', arXiv:2107.03374, equation 1: of an item with n
samples, of which c are correct, it is 1 - C(n - c, k) / C(n, k), and the mean is over items. Here n is how many of an item's samples were called;
an item of which fewer than k were is left out of pass@k.
"""

from collections import Counter
from math import comb, fsum

FIRST = 10
"""Up to here each k, and beyond it 20, 50, 100, 200, 500, and all samples."""


class Passes:
    """Counts an evaluation's samples, which come item by item."""

    def __init__(self, samples: int) -> None:
        self._samples = samples
        self._items: Counter[tuple[int, int]] = Counter()
        self._index: int | None = None
        self._called = self._correct = 0

    def add(self, index: int, *, correct: bool) -> None:
        """A called sample of an item."""
        if index != self._index:
            self._close()
            self._index = index
        self._called += 1
        self._correct += correct

    def _close(self) -> None:
        if self._called:
            self._items[self._called, self._correct] += 1
        self._called = self._correct = 0

    def finish(self) -> dict[str, float | None]:
        """`pass@<k>` for k from 1 to the samples of an item; None where no item has as many."""
        self._close()
        further = (k for k in (20, 50, 100, 200, 500) if k < self._samples)
        found = [*range(1, min(FIRST, self._samples) + 1), *further]
        ks = found if self._samples in found else [*found, self._samples]
        return {f"pass@{k}": self._mean(k) for k in ks}

    def _mean(self, k: int) -> float | None:
        enough = {(n, c): items for (n, c), items in self._items.items() if n >= k}
        if not enough:
            return None
        total = fsum(items * (1 - comb(n - c, k) / comb(n, k)) for (n, c), items in sorted(enough.items()))
        return total / sum(enough.values())
