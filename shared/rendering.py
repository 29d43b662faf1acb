"""Templates that users write, which are hostile: a Jinja sandbox with a time and an output limit. For a worker process's main thread only."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import jinja2
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_MAX_POWER_BITS = 100_000


@dataclass(frozen=True)
class Source:
    """One message's template, and where in the manifest it stands (such as `["prompt", "messages", 0, "content"]`)."""

    loc: list[str | int]
    role: str
    text: str


class TemplateError(Exception):
    """A template that cannot be compiled or rendered; `msg` names the line within the template, where it has one."""

    def __init__(self, loc: list[str | int], msg: str) -> None:
        super().__init__(msg)
        self.loc = loc
        self.msg = msg


class _Expired(BaseException):
    """Not an `Exception`, so that no handler within a template's machinery takes it for an error of its own."""


@contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """Raise `_Expired` after so much CPU time.

    CPU time, since a template cannot wait for anything, and what passes on an idle machine must pass on a busy one. The
    timer repeats: an exception raised within a destructor is dropped by the interpreter.
    """

    def expire(signum: int, frame: FrameType | None) -> None:
        raise _Expired

    before = signal.signal(signal.SIGPROF, expire)
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class _Sandbox(ImmutableSandboxedEnvironment):
    # A huge power or repetition is one uninterruptible step, which no timer ends; what is intercepted is not computed when
    # compiling either.
    intercepted_binops = frozenset({"**", "*"})

    def __init__(self, max_bytes: int) -> None:
        # No escaping: what is rendered is a prompt for a model, not HTML.
        super().__init__(undefined=jinja2.StrictUndefined, autoescape=False)
        self._max_bytes = max_bytes
        # The same bundle must give the same prompts: nothing random.
        del self.globals["lipsum"], self.filters["random"]

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        match operator, left, right:
            case "**", int(), int() if left.bit_length() * right > _MAX_POWER_BITS:
                raise SecurityError(f"a power of over {_MAX_POWER_BITS:,} bits is not allowed")
            case ("*", str() | list() | tuple() as many, int() as times) | (
                "*",
                int() as times,
                str() | list() | tuple() as many,
            ):
                if len(many) * times > self._max_bytes:
                    raise SecurityError(f"a repetition of over {self._max_bytes:,} parts is not allowed")
        return super().call_binop(context, operator, left, right)


class Templates:
    """The compiled messages of a prompt.

    `time_limit_s` is CPU time for one item, `max_bytes` the UTF-8 bytes that one item's messages may have together.
    """

    def __init__(self, sources: Sequence[Source], *, time_limit_s: float, max_bytes: int) -> None:
        """Raises `TemplateError` on a syntax error."""
        self._time_limit_s = time_limit_s
        self._max_bytes = max_bytes
        self._compiled: list[tuple[Source, jinja2.Template]] = []
        sandbox = _Sandbox(max_bytes)
        for source in sources:
            try:
                with _deadline(time_limit_s):
                    self._compiled.append((source, sandbox.from_string(source.text)))
            except (Exception, _Expired) as error:
                raise TemplateError(source.loc, self._explain(error, [])) from error

    def render(self, values: Mapping[str, Any], columns: Sequence[str]) -> list[dict[str, str]]:
        """One item's messages, `[{"role", "content"}]`, from `values` by name.

        Raises:
            TemplateError: an undefined name (the message has it, and `columns`), a limit, or any other failure.
        """
        messages: list[dict[str, str]] = []
        room = self._max_bytes
        source = self._compiled[0][0]
        try:
            with _deadline(self._time_limit_s):
                for source, template in self._compiled:
                    content, room = _filled(template, values, room)
                    messages.append({"role": source.role, "content": content})
        except (Exception, _Expired) as error:
            raise TemplateError(source.loc, self._explain(error, columns)) from error
        if not any(message["content"].strip() for message in messages):
            raise TemplateError(source.loc, "renders to no text at all")
        return messages

    def _explain(self, error: BaseException, columns: Sequence[str]) -> str:
        match error:
            case _Expired():
                return f"takes more than {self._time_limit_s:g} s for one item; is there an endless loop?"
            case _Oversize():
                return f"renders to more than {self._max_bytes:,} bytes for one item"
            case jinja2.TemplateSyntaxError():
                return f"line {error.lineno} of the template: {error.message}"
            case SecurityError():
                return f"{_at(error)}not allowed in a prompt: {error.message}"
            case jinja2.UndefinedError():
                return f"{_at(error)}{error.message}; the columns are {', '.join(columns)}"
            case MemoryError():
                return f"{_at(error)}needs too much memory"
            case UnicodeEncodeError():
                return "renders to half of a surrogate pair, which is not Unicode text"
        return f"{_at(error)}{type(error).__name__}: {str(error)[:300]}"


class _Oversize(Exception):
    pass


def _filled(template: jinja2.Template, values: Mapping[str, Any], room: int) -> tuple[str, int]:
    """The rendered text, and how many bytes of `room` it leaves."""
    parts: list[str] = []
    for part in template.generate(values):
        # Characters first, which are never more than the bytes: what is far too large is not copied.
        room -= len(part) if len(part) > room else len(part.encode())
        if room < 0:
            raise _Oversize
        parts.append(part)
    return "".join(parts), room


def _at(error: BaseException) -> str:
    """`line 3 of the template: ` where the traceback, which Jinja rewrites to the template's lines, says so."""
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return "" if line is None else f"line {line} of the template: "
