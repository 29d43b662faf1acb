"""From documents in MongoDB to the public types: used by the gateway's reads and the orchestrator's answers alike."""

from typing import Any

from shared.api import (
    Environment,
    EnvironmentDetail,
    Evaluation,
    EvaluationsCreated,
    File,
    InWords,
    Model,
    PhaseInfo,
    Progress,
    VersionInfo,
)
from shared.in_words import measured_in_words, phase_in_words, ranking_in_words, scoring_in_words
from shared.manifest import Manifest


def model_view(document: dict[str, Any]) -> Model:
    """A model without its key."""
    fields = {name: document.get(name) for name in Model.model_fields if name in document}
    has_key = document.get("api_key") is not None or document.get("api_key_env") is not None
    return Model(**{**fields, "id": document["_id"], "has_api_key": has_key})


def evaluation_view(document: dict[str, Any]) -> Evaluation:
    fields = {name: document[name] for name in Evaluation.model_fields if name in document}
    return Evaluation(
        **{
            **fields,
            "id": document["_id"],
            "environment": document["slug"],
            "environment_version": document["version"],
            "progress": Progress(**document["progress"]),
            "files": [File(**file) for file in document.get("files", [])],
        }
    )


def created_view(documents: list[dict[str, Any]]) -> EvaluationsCreated:
    return EvaluationsCreated(
        group=documents[0]["group"], evaluations=[evaluation_view(document) for document in documents]
    )


def environment_view(document: dict[str, Any]) -> Environment:
    return Environment(
        **{
            **{name: document[name] for name in Environment.model_fields if name in document},
            "phases": [PhaseInfo(**phase) for phase in document["phases"]],
        }
    )


def environment_detail_view(document: dict[str, Any], versions: list[dict[str, Any]]) -> EnvironmentDetail:
    """`versions` are documents with `version` and `created_at`, newest first."""
    manifest = Manifest.model_validate(document["manifest"])
    return EnvironmentDetail(
        **environment_view(document).model_dump(),
        overview=document["overview"],
        scoring=manifest.scoring.model_dump(mode="json"),
        generation=manifest.generation.model_dump(mode="json", exclude_none=True),
        columns=manifest.leaderboard.columns,
        imported=document.get("imported"),
        in_words=in_words(manifest, {phase["name"]: phase["items"] for phase in document["phases"]}),
        versions=[VersionInfo(version=entry["version"], created_at=entry["created_at"]) for entry in versions],
    )


def in_words(manifest: Manifest, items: dict[str, int]) -> InWords:
    """`items` is how many each phase has, by its name."""
    return InWords(
        measured=measured_in_words(manifest, items),
        scoring=scoring_in_words(manifest.scoring),
        ranking=ranking_in_words(manifest),
        phases={phase.name: phase_in_words(phase) for phase in manifest.phases},
    )
