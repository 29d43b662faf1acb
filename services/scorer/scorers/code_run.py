"""Runs inside the sandbox: one answer and its tests. Imports nothing but the standard library.

python3 code_run.py ORDER VERDICT

ORDER is `{candidates, tests, entry_point, nonce}`, VERDICT becomes `{nonce, reason}` with a null reason where all went well. A verdict
without the nonce, which is gone before the answer's code runs, is not one.
"""

import json
import os
import sys
import traceback
import types
from typing import Any

MAX_TEXT = 500
_SOURCES = {"<answer>": "the program", "<tests>": "the tests"}


def main() -> None:
    with open(sys.argv[1]) as file:
        order = json.load(file)
    os.unlink(sys.argv[1])
    say, leave = _saying(sys.argv[2], order.pop("nonce")), os._exit
    del sys.argv[1:]
    say(_reason(order))
    # Not waiting for threads that the answer may have left.
    leave(0)


def _saying(path: str, nonce: str) -> Any:
    dumps, open_, write = json.dumps, os.open, os.write
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL

    def say(reason: str | None) -> None:
        write(open_(path, flags, 0o644), dumps({"nonce": nonce, "reason": reason}).encode("utf-8", "replace"))

    return say


def _reason(order: dict[str, Any]) -> str | None:
    sources = {"<answer>": "", "<tests>": order["tests"]}
    try:
        sources["<answer>"], code = _compiled(order["candidates"])
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = f", line {error.lineno} of the program" if isinstance(error, SyntaxError) else ""
        return f"the answer is no Python: {getattr(error, 'msg', error)}{line}"
    module = types.ModuleType("answer")
    # Where dataclasses and pickle look for what a class was defined in.
    sys.modules["answer"] = module
    names = module.__dict__
    try:
        exec(code, names)  # noqa: S102 - what it is here for
        if order["entry_point"] is not None and order["entry_point"] not in names:
            return f"the answer defines no {order['entry_point']}"
        exec(compile(order["tests"], "<tests>", "exec"), names)  # noqa: S102
        if order["entry_point"] is not None:
            names["check"](names[order["entry_point"]])
    except BaseException as error:
        return _told(error, sources)
    return None


def _compiled(candidates: list[str]) -> tuple[str, types.CodeType]:
    """The first candidate that is Python; else the error of the first."""
    first: Exception | None = None
    for source in candidates:
        try:
            return source, compile(source, "<answer>", "exec")
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            first = first or error
    assert first is not None
    raise first


def _told(error: BaseException, sources: dict[str, str]) -> str:
    """`AssertionError: message, line 3 of the tests: assert candidate(1) == 2`."""
    try:
        message = str(error)[:MAX_TEXT]
    except BaseException:
        message = ""
    said = f"{type(error).__name__}: {message}" if message else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__, 1000) if frame.filename in sources]
    if not frames:
        return said
    filename, number = frames[-1].filename, frames[-1].lineno or 0
    lines = sources[filename].splitlines()
    line = lines[number - 1].strip()[:MAX_TEXT] if 0 < number <= len(lines) else ""
    return f"{said}, line {number} of {_SOURCES[filename]}" + (f": {line}" if line else "")


main()
