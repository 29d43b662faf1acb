"""Competition bundles of Codabench, version 2."""

from pathlib import Path

from services.artifacts.bundles import Limits
from services.artifacts.importers.report import Report
from services.artifacts.importers.source import wrong_option
from shared.imports import CodabenchImport


def convert(source: Path, options: CodabenchImport, out: Path, limits: Limits) -> Report:
    raise wrong_option("format", "competitions cannot be imported yet")
