"""Sample files of Inspect, as `json_dataset` and `csv_dataset` read them (UKGovernmentBEIS/inspect_ai, src/inspect_ai/dataset)."""

from pathlib import Path
from typing import Any

from services.artifacts.bundles import Limits
from services.artifacts.importers.bundle import head, phase_name, write_manifest, write_rows
from services.artifacts.importers.datafiles import Files, drop_column, listed, matching, tables
from services.artifacts.importers.inspect.samples import Samples
from services.artifacts.importers.inspect.scoring import scoring_of
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import files_in, wrong_file, wrong_option
from shared.imports import InspectImport


def convert(source: Path, options: InspectImport, out: Path, limits: Limits) -> Report:
    files = files_in(source)
    report = Report()
    samples = Samples(options, files, limits, report)
    phases = _phases(options, files)
    for file in phases.values():
        samples.survey(file)
    scorer = options.scorer or ("choice" if samples.choices else "match")
    if options.scorer is None:
        report.note(f"The scorer is guessed from the samples: {scorer}. The option scorer says another one.")
    if scorer == "choice" and not samples.choices:
        raise wrong_option("scorer", "choice needs samples with choices, and no sample has any")
    entries = []
    for name, file in phases.items():
        data = f"{name}.jsonl"
        write_rows(out / data, samples.items(file, scorer))
        samples.problems.raise_any()
        entries.append({"name": name, "data": data, "fields": {"id": "id"} if samples.ids else {}})
        if not samples.referenced:
            drop_column(out / data, "references")
    scoring = scoring_of(options, scorer, samples.referenced, report)
    prompt: dict[str, Any] = {"chat": "chat"} if samples.chats else {"template": "{{ input }}"}
    write_manifest(
        out,
        {
            **head(options, title=Path(next(iter(phases.values()))).stem.replace("_", " "), tags=["inspect"]),
            "prompt": prompt,
            "generation": options.generation.model_dump(mode="json", exclude_unset=True),
            "phases": entries,
            "scoring": scoring,
        },
    )
    return report


def _phases(options: InspectImport, files: Files) -> dict[str, str]:
    """Phase -> file."""
    data = tables(files)
    if options.phases is not None:
        phases = {}
        for phase, wanted in options.phases.items():
            found = matching(data, wanted)
            if len(found) != 1:
                raise wrong_option(f"phases.{phase}", f"there is no data file {wanted!r}; there are: {listed(data)}")
            phases[phase_name(phase)] = found[0]
        return phases
    if not data:
        raise wrong_file("source", f"has no file with samples (.json, .jsonl or .csv); it has: {listed(files)}")
    phases = {}
    for name in data:
        phase = phase_name(Path(name).stem)
        if phase in phases:
            raise wrong_option("phases", f"is needed: both {phases[phase]} and {name} would be the phase {phase!r}")
        phases[phase] = name
    return phases
