"""What a package of scorers looks like that is installed beside Assay; in `tests/plugins` with its metadata as pip would write it."""

import os
import signal
import time
from collections.abc import Mapping
from typing import Any, Literal

from services.scorer.scorers.score import Score
from shared.scoring import InstalledScoring


class WordCount(InstalledScoring):
    """The answer has as many words as the target says, give or take `slack`."""

    main_metric = "closeness"

    scorer: Literal["word_count"]
    slack: int = 0

    def score(self, output: str, target: str, hints: Mapping[str, Any]) -> Score:
        words, wanted = len(output.split()), int(target)
        closeness = min(words, wanted) / max(words, wanted)
        return Score(str(words), target, abs(words - wanted) <= self.slack, {"closeness": closeness}, f"{words} words")

    def check_target(self, target: str, hints: Mapping[str, Any]) -> str | None:
        return None if target.isdecimal() and int(target) else f"the target {target!r} is no number of words from 1 on"


class Awkward(InstalledScoring):
    """Does with an answer what it is asked to; for tests of what a scorer may do wrong."""

    scorer: Literal["awkward"]
    time_limit_s: float = 5.0

    def score(self, output: str, target: str, hints: Mapping[str, Any]) -> Any:
        match output.split():
            case ["loop"]:
                while True:
                    pass
            case ["eat"]:
                return Score("x" * 8 * 1024**3, target, False, {})
            case ["die", number]:
                os.kill(os.getpid(), int(number))
                time.sleep(60)
            case ["die-once", path]:
                # As if somebody else had killed it.
                if not os.path.exists(path):
                    os.mkdir(path)
                    os.kill(os.getpid(), signal.SIGKILL)
            case ["sleep"]:
                time.sleep(60)
            case ["sleep", path]:
                os.mkdir(path)
                time.sleep(60)
            case ["print"]:
                print("x" * 100_000, flush=True)
                os.write(1, b"y" * 100_000)
            case ["raise"]:
                raise LookupError("no such thing")
            case ["nan"]:
                return Score("x", target, False, {"f": float("nan")})
            case ["junk"]:
                return {"not": "a score"}
            case ["secrets"]:
                return Score(" ".join(sorted(os.environ)), target, False, {})
            case ["pid"]:
                return Score(str(os.getpid()), target, True, {})
        return Score(output, target, output == target, {})


class Stranger:
    """No scorer at all."""
