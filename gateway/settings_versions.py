"""The versions of a model's settings, with what each changed."""

from itertools import pairwise
from typing import Any

from shared.api import SettingChange, SettingsVersion
from shared.storage.mongo import Document


def settings_versions(model: Document) -> list[SettingsVersion]:
    """Newest first. The oldest that is kept says no changes."""
    known: list[Document] = model.get("versions", [])
    changes = [[], *(_changes(before["settings"], after["settings"]) for before, after in pairwise(known))]
    return [SettingsVersion(**row, changes=changed) for row, changed in zip(known, changes, strict=bool(known))][::-1]


def _changes(before: dict[str, Any], after: dict[str, Any]) -> list[SettingChange]:
    names = [*after, *(name for name in before if name not in after)]
    return [
        SettingChange(name=name, before=before.get(name), after=after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    ]
