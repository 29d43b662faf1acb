"""A worker process: scores answers one after another, as it is told on its stdin, with libraries that are slow or that an answer may hang.

python -m services.scorer.worker PARENT_PID MEMORY_BYTES

Both ways a message is its length (4 bytes, big-endian) and so much JSON. It says `{}` when it is ready. A request is `{do, scoring,
arguments, limit_s}`, where `do` names a function of the scorer's module and `arguments` what it takes beside `scoring`; the answer is
one of `{ok}`, `{failed}` (an error of the scorer's own), `{missing}` (it cannot be imported) and `{memory: true}`. What takes more than
`limit_s` of CPU time is not answered: the kernel ends the process with SIGPROF, whatever it is in the middle of.
"""

import os
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, BinaryIO

import orjson
from pydantic import TypeAdapter

from services.scorer.scorers import Score, worker_scorer
from shared.children import die_with, lower_limit
from shared.scoring import Scoring

LENGTH = struct.Struct(">I")

MAX_FILE = 64 * 1024
"""Bytes: nothing is to be written, but some libraries try on loading whether they could."""

_SCORING: TypeAdapter[Scoring] = TypeAdapter(Scoring)


@lru_cache(maxsize=16)
def _scoring(body: bytes) -> Scoring:
    return _SCORING.validate_json(body)


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    scoring = _scoring(orjson.dumps(request["scoring"]))
    try:
        work: Callable[..., Any] = getattr(worker_scorer(scoring), request["do"])
    except Exception as error:
        return {"missing": f"{type(error).__name__}: {str(error)[:300]}"}
    # CPU time, since an answer that is read on an idle machine must be read on a busy one. It begins after the imports.
    signal.setitimer(signal.ITIMER_PROF, request["limit_s"])
    try:
        done = work(scoring=scoring, **request["arguments"])
        return {"ok": list(done) if isinstance(done, Score) else done}
    except MemoryError:
        return {"memory": True}
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Until there is no more request."""

    def say(message: Mapping[str, Any]) -> None:
        body = orjson.dumps(message)
        answers.write(LENGTH.pack(len(body)) + body)
        answers.flush()

    say({})
    while head := requests.read(LENGTH.size):
        said = answer(orjson.loads(requests.read(*LENGTH.unpack(head))))
        say(said)
        if "memory" in said:
            return  # what is left of it is of no use


def main() -> None:
    die_with(int(sys.argv[1]))
    memory = int(sys.argv[2])
    lower_limit(resource.RLIMIT_AS, memory, memory)
    lower_limit(resource.RLIMIT_CORE, 0, 0)
    lower_limit(resource.RLIMIT_FSIZE, MAX_FILE, MAX_FILE)
    # What a library prints must not get between the answers, nor what a model wrote into the log.
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
