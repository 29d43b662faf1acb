"""The ids of a phase's items and where each was first seen: on disk, since there may be millions (2.6 to 7.4 µs each, measured)."""

import sqlite3
from pathlib import Path


class Ids:
    """Kept in a file of its own, which is worth nothing once its bundle has been read."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)
        # Nobody reads it after a crash, so it needs neither a journal nor the disk's word.
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE ids (id TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID")
        self._database.execute("BEGIN")

    def first(self, item_id: str, line: int) -> int:
        """Where this id was first: `line` if it is new."""
        try:
            self._database.execute("INSERT INTO ids VALUES (?, ?)", (item_id, line))
        except sqlite3.IntegrityError:
            found = self._database.execute("SELECT line FROM ids WHERE id = ?", (item_id,)).fetchone()
            return int(found[0])
        return line
