"""Artifacts: environments and their items, and every file in the object store. Any number of replicas share the work.

python -m services.artifacts.app
"""

from faststream import FastStream

from services.artifacts.building import Building
from services.artifacts.bundles import Limits
from services.artifacts.hub_client import HubClient
from services.artifacts.registration import Registration
from shared import subjects
from shared.service import Service, run, set_up_logging, until_up
from shared.settings import load_settings
from shared.steps import on_step
from shared.storage import mongo
from shared.storage.objects import Objects
from shared.workspace import sweep


async def build() -> FastStream:
    settings = load_settings()
    set_up_logging(settings, "artifacts")
    sweep()
    service = Service("artifacts", settings)
    await service.connect()
    client = mongo.connect(settings)
    database = client[settings.mongo_database]
    objects = Objects(settings)
    await until_up(lambda: mongo.provision(database), "MongoDB")
    await until_up(objects.provision, "the object store")
    service.checks = {
        "nats": service.nats_answers,
        "mongodb": lambda: client.admin.command("ping"),
        "objects": objects.reachable,
    }

    limits = Limits(max_archive_bytes=settings.max_upload_bytes, max_unpacked_bytes=settings.max_unpacked_bytes)
    hub = HubClient(settings.hf_datasets_url, settings.hf_token) if settings.hf_datasets_url else None
    registration = Registration(service, database, objects, hub, limits)
    building = Building(service, database, objects)
    service.command("environments.register")(registration.register)
    on_step(service, subjects.ARTIFACTS_CREATED, "created", building.created, building.refuse)
    on_step(service, subjects.ARTIFACTS_SCORED, "scored", building.scored, building.refuse)

    app = FastStream(service.broker, logger=None)

    @app.on_shutdown
    async def stop() -> None:
        await service.stop_background()
        client.close()
        await objects.aclose()
        if hub:
            await hub.aclose()

    return app


if __name__ == "__main__":
    run(build)
