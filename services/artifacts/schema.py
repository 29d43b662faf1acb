"""The JSON Schema of a json scorer, checked at upload."""

from services.artifacts.manifests import MANIFEST
from services.artifacts.problems import Problems
from shared.scoring import JsonScoring

_PATH = (MANIFEST, "scoring", "schema")
_MAX_MESSAGE = 300


def check_schema(scoring: JsonScoring, problems: Problems) -> None:
    """Note what is wrong with `scoring.schema`, each at its place in the manifest."""
    if scoring.json_schema is None:
        return
    # Here, since most bundles do without.
    from jsonschema import Draft202012Validator, validators

    kind = validators.validator_for(scoring.json_schema, default=Draft202012Validator)
    version = scoring.json_schema.get("$schema")
    if version is not None and kind.META_SCHEMA.get("$schema") != version:
        problems.add([*_PATH, "$schema"], f"{version!r} is no version of JSON Schema; leave it out for Draft 2020-12")
        return
    checker = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    try:
        for error in checker.iter_errors(scoring.json_schema):
            problems.add([*_PATH, *error.absolute_path], f"is no JSON Schema: {error.message[:_MAX_MESSAGE]}")
    except RecursionError:
        problems.add(_PATH, "is nested too deeply")
