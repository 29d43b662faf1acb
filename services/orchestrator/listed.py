"""Models that an endpoint lists: registered in one step, and looked for among the servers on a predictor's machine."""

from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from faststream.nats import NatsBroker

from services.orchestrator.addresses import check_base_url
from services.orchestrator.models import PROBE_S, REPLY_S, Models, endpoint_of
from services.orchestrator.state import now
from shared import subjects
from shared.api import MOST_AT_ONCE, LocalEndpoint
from shared.contracts import LocalServer, ModelStatus, ProbeAnswer
from shared.errors import FieldError, Invalid
from shared.networks import Networks
from shared.service import call
from shared.storage.mongo import Database, Document

DISCOVER_S = 6.0
SHOWN = 10


class ListedModels:
    """What endpoints list is asked by a predictor; the registry takes it up."""

    def __init__(self, database: Database, broker: NatsBroker, models: Models, networks: Networks) -> None:
        self._documents = database["models"]
        self._broker = broker
        self._models = models
        self._networks = networks

    async def create(
        self, fields: Document, names: list[str] | None, new_id: Callable[[str], str]
    ) -> tuple[list[Document], list[Document]]:
        """Register what the endpoint lists, or of that those named, all of them or none; `fields` are each one's. Those that are new, and
        those that were there.

        Being listed they count as running: a completion of each would make some servers load one model after the other.
        """
        self._models.check_key(fields)
        base_url = await check_base_url(fields["base_url"], self._networks)
        common: Document = {**fields, "base_url": base_url, "engine": None}
        wanted = chosen(await self._listed(common), names)
        known = await self._known(base_url, wanted)
        found = ProbeAnswer(status=ModelStatus.RUNNING, detail="GET /models lists it", listed=True)
        registered: list[Document] = []
        try:
            for name in wanted:
                if name not in known:
                    document = {**common, "name": name[:200], "model": name, "_id": new_id(name), "created_at": now()}
                    registered.append(document)
                    await self._models.register(document, found)
        except BaseException:
            for document in registered:
                await self._models.remove(document["_id"])
            raise
        return registered, [known[name] for name in wanted if name in known]

    async def discover(self) -> list[LocalEndpoint]:
        """The servers on a predictor's machine, and which of their models are registered."""
        answer = await call(self._broker, subjects.DISCOVER, {}, timeout=DISCOVER_S)
        found = []
        for server in map(LocalServer.model_validate, answer["servers"]):
            known = await self._known(server.base_url, server.models)
            registered = [name for name in server.models if name in known]
            found.append(LocalEndpoint(**server.model_dump(), registered=registered))
        return found

    async def _listed(self, fields: Document) -> list[str]:
        endpoint = endpoint_of({**fields, "_id": "", "name": "", "model": ""})
        body = {"endpoint": endpoint.model_dump(mode="json"), "within_s": PROBE_S}
        answer = await call(self._broker, subjects.LIST_MODELS, body, timeout=PROBE_S + REPLY_S)
        names: list[str] = answer["names"]
        return names

    async def _known(self, base_url: str, names: Sequence[str]) -> dict[str, Document]:
        """Models of this endpoint that are registered, by their names there."""
        query = {"base_url": {"$in": spellings(base_url)}, "model": {"$in": [*names]}, "withdrawn_at": None}
        return {row["model"]: row async for row in self._documents.find(query, {"versions": 0})}


def chosen(listed: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Which of the listed models are meant. Raises `Invalid` naming each that is not listed, and where there are none or too many."""
    there = ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
    if wanted is not None:
        errors: list[FieldError] = [
            {"loc": ["models", at], "msg": f"{name!r} is not listed by the endpoint; there are: {there or 'none'}"}
            for at, name in enumerate(wanted)
            if name not in listed
        ]
        if errors:
            raise Invalid("; ".join(f"models: {error['msg']}" for error in errors[:3]), errors)
        return list(dict.fromkeys(wanted))
    if not listed:
        raise _wrong("base_url", "lists no models")
    if len(listed) > MOST_AT_ONCE:
        raise _wrong(
            "models",
            f"is missing: the endpoint lists {len(listed)} models, so name those meant, at most {MOST_AT_ONCE}",
        )
    return list(listed)


def spellings(base_url: str) -> list[str]:
    """An address of this machine is the same by name and by number."""
    host = urlsplit(base_url).hostname
    if host not in ("localhost", "127.0.0.1"):
        return [base_url]
    return [base_url.replace(host, other, 1) for other in ("localhost", "127.0.0.1")]


def _wrong(field: str, message: str) -> Invalid:
    return Invalid(f"{field} {message}", [{"loc": [field], "msg": message}])
