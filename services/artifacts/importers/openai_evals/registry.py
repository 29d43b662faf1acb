"""Entries of the registry of OpenAI evals (evals/registry/evals), and the files that they name."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from services.artifacts.bundles import Limits
from services.artifacts.importers.datafiles import Files, listed, matching, tables
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_file, wrong_option
from services.artifacts.problems import Problems
from services.artifacts.yamls import read_yaml
from shared.explain import near
from shared.imports import OpenAIEvalsImport

_CLASSES = {
    "evals.elsuite.basic.match:Match": "match",
    "evals.elsuite.basic.includes:Includes": "includes",
    "evals.elsuite.basic.fuzzy_match:FuzzyMatch": "fuzzy_match",
    "evals.elsuite.basic.json_match:JsonMatch": "json_match",
}
_KNOWN_ARGUMENTS = {"samples_jsonl", "few_shot_jsonl", "num_few_shot", "max_tokens", "ignore_case"}


class Entry(NamedTuple):
    """What is evaluated: an entry of the registry, or what stands for one. `kind` as in `_CLASSES`, `samples` the name of a file."""

    name: str
    kind: str
    samples: str
    arguments: Mapping[str, Any]


def entry_of(files: Files, options: OpenAIEvalsImport, limits: Limits, report: Report) -> Entry:
    """The entry that is meant. Raises `Invalid` where there is none, or several, or its class is no basic one."""
    problems = Problems()
    documents = {
        name: read_yaml(path, name, limits.max_manifest_bytes, problems, "evals by their names", lenient=True)
        for name, path in files.items()
        if PurePosixPath(name).suffix in (".yaml", ".yml")
    }
    entries = {
        key: (name, value)
        for name, (data, _) in documents.items()
        for key, value in data.items()
        if isinstance(value, dict) and "class" in value
    }
    if not entries:
        return _without_registry(files, options, report)
    key = options.eval or (next(iter(entries)) if len(entries) == 1 else "")
    for document, _ in documents.values():
        # The short name of an eval leads to the entry with its class.
        if key not in entries and isinstance(alias := document.get(key), dict):
            key = str(alias.get("id"))
    if key not in entries:
        known = near(key, entries, "the evals are")
        which = "is needed, since there are several" if options.eval is None else f"no eval is called {options.eval!r}"
        raise wrong_option("eval", f"{which}; {known}")
    name, found = entries[key]
    lines = documents[name][1]
    kind = options.eval_class or _CLASSES.get(str(found["class"]))
    if kind is None:
        message = f"{str(found['class'])[:200]} is not carried over; the classes are {', '.join(_CLASSES)}"
        raise wrong_file(name, lines.told((key, "class"), message), key, "class")
    arguments = found.get("args") or {}
    wanted = arguments.get("samples_jsonl") if isinstance(arguments, dict) else None
    data = data_file(files, wanted)
    if data is None:
        message = f"samples_jsonl {str(wanted)[:200]!r} is not in the source; there are: {listed(files)}"
        raise wrong_file(name, lines.told((key, "args", "samples_jsonl"), message), key, "args", "samples_jsonl")
    for argument in sorted(set(arguments) - _KNOWN_ARGUMENTS):
        report.drop("arguments", f"The argument {argument} of the eval is left out.")
    return Entry(key.split(".")[0], kind, data, arguments)


def _without_registry(files: Files, options: OpenAIEvalsImport, report: Report) -> Entry:
    data = tables(files)
    if options.eval is not None:
        raise wrong_option(
            "eval", f"there is no YAML of the registry with {options.eval!r}; there are: {listed(files)}"
        )
    if len(data) != 1:
        raise wrong_file(
            "source", f"must have one file with samples, or the registry's YAML that names it; it has: {listed(files)}"
        )
    if options.eval_class is None:
        report.note(
            "The class is taken to be match: the answer begins with an ideal one. The option eval_class says another one."
        )
    (name,) = data
    path = PurePosixPath(name)
    title = path.parent.name if path.stem == "samples" and path.parent.name else path.stem
    return Entry(title, options.eval_class or "match", name, {})


def data_file(files: Files, wanted: Any) -> str | None:
    """The registry names files from its folder `data`."""
    if not isinstance(wanted, str):
        return None
    plain = wanted.removeprefix("./")
    found = [name for name in files if name == plain or name.endswith(f"/{plain}")] or matching(files, plain)
    return found[0] if len(found) == 1 else None
