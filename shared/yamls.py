"""YAML that is hostile until proven otherwise: read safely, bounded, and with the line of each of its values."""

from collections import Counter
from typing import Any, NoReturn

import yaml

from shared.errors import AssayError
from shared.explain import Loc

_MAX_NODES = 100_000  # of a document with its aliases written out
_MAX_DEPTH = 64
_HINTS = {
    "mapping values are not allowed": "; a text with a colon and a blank in it must be in quotes",
    "cannot start any token": "; indent with blanks, and put a text that begins so in quotes",
    "a key must be text": "; a text that begins with { must be, too",
}
"""What would be right, by what PyYAML says."""
# What PyYAML's constructors raise, beside its own errors, where an explicit tag does not fit its value.
_MISFITS = (ValueError, TypeError, KeyError, IndexError, AttributeError, OverflowError)


class NotRead(AssayError):
    """A document that cannot be used at all; the message says where and what would be right, without the file's name."""


class Lines(dict[Loc, int]):
    """The line of each path in a document, from 1."""

    def told(self, loc: Loc, msg: str) -> str:
        """`msg` with the line of `loc`; what is missing has none of its own, but what it is missing from has."""
        line = next((self[loc[:end]] for end in range(len(loc), 0, -1) if loc[:end] in self), None)
        return msg if line is None else f"line {line}: {msg}"


def parse_yaml(data: bytes, keys: str, lenient: bool = False) -> tuple[dict[str, Any], Lines]:
    """The mapping that a document holds, which must have `keys` (for the message).

    A `lenient` reading takes what PyYAML does: keys that are no text, and of a key that is given twice the last value.

    Raises:
        NotRead: it is no such mapping.
    """
    try:
        return _parsed(data.decode("utf-8-sig"), keys, lenient)
    except UnicodeDecodeError as error:
        raise NotRead(f"is not UTF-8: byte {error.object[error.start]:#04x} at position {error.start + 1}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        told = error.problem or error.context or "is not YAML"
        raise NotRead(f"{at}{told}{next((hint for sign, hint in _HINTS.items() if sign in told), '')}") from error
    except yaml.YAMLError as error:
        raise NotRead(f"is not YAML: {str(error).splitlines()[0]}") from error
    except RecursionError as error:
        raise NotRead(f"is nested deeper than {_MAX_DEPTH} levels") from error


def _parsed(text: str, keys: str, lenient: bool) -> tuple[dict[str, Any], Lines]:
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if not isinstance(node, yaml.MappingNode):
            raise NotRead(f"must be a mapping with {keys}")
        lines = Lines()
        _index(node, (), lines, Counter(), lenient)
        return loader.construct_document(node), lines
    except _MISFITS as error:
        raise yaml.YAMLError(f"a value does not fit its type: {error}") from error
    finally:
        loader.dispose()


def _index(node: yaml.Node, loc: Loc, lines: Lines, seen: Counter[str], lenient: bool) -> None:
    """Fill `lines`, and refuse what would be read wrongly in silence (a key given twice) or what explodes (aliases of aliases)."""

    def refuse(msg: str, node: yaml.Node) -> NoReturn:
        raise yaml.MarkedYAMLError(problem=msg, problem_mark=node.start_mark)

    seen["nodes"] += 1
    if seen["nodes"] > _MAX_NODES:
        refuse(f"more than {_MAX_NODES:,} values, with aliases written out", node)
    if len(loc) > _MAX_DEPTH:
        refuse(f"nested deeper than {_MAX_DEPTH} levels, or within itself", node)
    lines.setdefault(loc, node.start_mark.line + 1)
    if node.tag.startswith("!"):
        what = f"{node.tag} {node.value}" if isinstance(node, yaml.ScalarNode) else node.tag
        name = f"{loc[-1]}: " if loc else ""
        refuse(
            f"{name}{what[:200]} is for the tool that it was written for: no code is run here; write the value itself",
            node,
        )
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            _index(child, (*loc, index), lines, seen, lenient)
    elif isinstance(node, yaml.MappingNode):
        keys: set[str] = set()
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode) or not (lenient or key.tag.endswith((":str", ":merge"))):
                refuse("a key must be text; put it in quotes", key)
            _index(key, loc, lines, seen, lenient)
            if key.value in keys and not lenient:
                refuse(f"the key {key.value!r} is given twice", key)
            keys.add(key.value)
            lines.setdefault((*loc, key.value), key.start_mark.line + 1)
            _index(child, (*loc, key.value), lines, seen, lenient)
    elif node.tag.endswith(":float") and node.value.lower().lstrip("+-") in (".inf", ".nan"):
        refuse("a number must be finite", node)
    elif any("\ud800" <= letter <= "\udfff" for letter in node.value):
        refuse("half of a surrogate pair is not Unicode text", node)
