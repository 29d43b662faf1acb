"""MongoDB through Motor, and nothing else through it: another driver is a change in this file.

Collections (database `assay`), who writes them and under which `_id`:

| collection | writer | `_id` | holds |
| --- | --- | --- | --- |
| `environments` | artifacts | `slug@version` | a registered version with its manifest and phases; written last, after its items |
| `items` | artifacts | `slug@version:phase:index` | one test case, its prompt rendered |
| `models` | orchestrator | model id | a registered model, its key encrypted |
| `evaluations` | orchestrator | evaluation id | status, lease, progress, metrics, files, and the outbox of events not announced yet |
| `quotas` | orchestrator | `slug:phase:model` | evaluations that are just being started, where a phase has a quota |
| `counters` | orchestrator | `evaluations` | the last number given |
| `idempotency` | orchestrator | key | the hash of the body that the key came with, and the answer |
| `events` | orchestrator | position in EVENTS | the log of an ended evaluation |
| `results` | scorer | `evaluation:index:sample` | prediction and scores |
| `scores` | scorer | `evaluation:round` | aggregate metrics |
| `filesets` | artifacts | `evaluation:round:kind` | stored and verified files |
"""

from typing import Any

from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorDatabase
from pymongo import ASCENDING, DESCENDING, IndexModel
from pymongo.errors import ConnectionFailure, DocumentTooLarge, OperationFailure

from shared.settings import Settings

Document = dict[str, Any]
Database = AsyncIOMotorDatabase[Document]

# What a write or read may raise while mongod is away or restarting; the caller waits and tries again.
OUTAGES = (ConnectionFailure,)

BSON_OBJECT_TOO_LARGE = 10334
"""The code with which mongod refuses a document above 16 MB that the driver has let through."""

DUPLICATE_KEY = 11000
"""The code of a write that failed because its `_id`, or another unique key, is there already."""

_INDEXES: dict[str, list[IndexModel]] = {
    "environments": [IndexModel([("slug", ASCENDING), ("created_at", DESCENDING)])],
    "items": [IndexModel([("environment", ASCENDING), ("phase", ASCENDING), ("index", ASCENDING)], unique=True)],
    "models": [IndexModel([("created_at", DESCENDING)])],
    "evaluations": [
        IndexModel([("number", DESCENDING)], unique=True),
        IndexModel([("environment", ASCENDING), ("phase", ASCENDING), ("status", ASCENDING)]),
        IndexModel([("model", ASCENDING), ("status", ASCENDING)]),
        IndexModel([("slug", ASCENDING), ("phase", ASCENDING), ("model", ASCENDING)]),
        IndexModel([("slug", ASCENDING), ("number", DESCENDING)]),
        IndexModel([("group", ASCENDING)]),
        # Only evaluations that an orchestrator still has to do something about: a handful among many.
        IndexModel([("lease_until", ASCENDING)], partialFilterExpression={"open": True}, name="open_leases"),
    ],
    "results": [
        # `_id` is unique, and made of the same three: that costs a fifth less than to have it checked twice.
        IndexModel([("evaluation", ASCENDING), ("index", ASCENDING), ("sample", ASCENDING)]),
        IndexModel([("evaluation", ASCENDING), ("outcome", ASCENDING), ("index", ASCENDING)]),
    ],
    "events": [IndexModel([("evaluation", ASCENDING), ("_id", ASCENDING)])],
    "idempotency": [IndexModel([("created_at", ASCENDING)], expireAfterSeconds=7 * 86400, name="ttl")],
}


def connect(settings: Settings) -> AsyncIOMotorClient[Document]:
    """A client whose every write is journalled before it is acknowledged: with `w: 1` alone a killed mongod loses some."""
    return AsyncIOMotorClient(
        settings.mongo_url.get_secret_value(),
        w=1,
        journal=True,
        retryWrites=False,  # needs a replica set; our writes are repeatable by themselves
        tz_aware=True,
        serverSelectionTimeoutMS=3000,
        connectTimeoutMS=3000,
        socketTimeoutMS=60_000,  # a connection whose other end has vanished is not waited for for ever
        appname="assay",
    )


async def provision(database: Database) -> None:
    """Create the indexes; one that exists with other options is made anew."""
    for name, indexes in _INDEXES.items():
        try:
            await database[name].create_indexes(indexes)
        except OperationFailure as error:
            if error.code not in (85, 86):  # IndexOptionsConflict, IndexKeySpecsConflict
                raise
            await database[name].drop_indexes()
            await database[name].create_indexes(indexes)


def is_unstorable(error: Exception) -> bool:
    """Whether it says that a document can never be stored, whatever the state of mongod: above 16 MB, or not to be held in BSON."""
    if isinstance(error, OperationFailure):
        return error.code == BSON_OBJECT_TOO_LARGE
    return isinstance(error, DocumentTooLarge | InvalidDocument | OverflowError)


def in_words(error: Exception) -> str:
    """What went wrong, for a log line, without the documents that the driver quotes."""
    details = getattr(error, "details", None) or {}
    first = next(iter(details.get("writeErrors") or details.get("writeConcernErrors") or []), details)
    return f"{type(error).__name__}: {first['errmsg']:.200}" if first.get("errmsg") else type(error).__name__
