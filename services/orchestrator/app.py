"""The orchestrator: owns evaluations and models, dispatches jobs, decides statuses.

python -m services.orchestrator.app
"""

from faststream import FastStream

from services.orchestrator.engines import Engines
from services.orchestrator.handlers import Orchestrator
from services.orchestrator.idempotency import Idempotency
from services.orchestrator.listed import ListedModels
from services.orchestrator.models import Models
from services.orchestrator.pacing import Pacing
from services.orchestrator.parked import ParkedMessages
from services.orchestrator.platform import Platform
from services.orchestrator.store import Store
from shared import subjects
from shared.buckets import Mirror
from shared.large import LargeMessages
from shared.secrets import make_key
from shared.service import Service, run, set_up_logging, until_up
from shared.settings import load_settings
from shared.storage import mongo
from shared.storage.objects import Objects


async def build() -> FastStream:
    settings = load_settings()
    set_up_logging(settings, "orchestrator")
    service = Service("orchestrator", settings)
    await service.connect()
    client = mongo.connect(settings)
    database = client[settings.mongo_database]
    objects = Objects(settings)
    await until_up(lambda: mongo.provision(database), "MongoDB")
    await until_up(objects.provision, "the object store")
    leases = await service.js.key_value(subjects.KV_LEASES)
    await until_up(lambda: make_key(settings, objects, leases), "the object store")
    service.checks = {
        "nats": service.nats_answers,
        "mongodb": lambda: client.admin.command("ping"),
    }

    store = Store(database, service.instance)
    pacing = Pacing(database, service.js)
    states = Mirror(service.js, subjects.KV_PACING, pacing.changed)
    models = Models(database, service.broker, service.js, pacing, settings.networks, settings.key_names)
    engines = Engines(service.js, models)
    said_of_engines = [
        Mirror(service.js, subjects.KV_ENGINES, engines.changed, keys)
        for keys in (subjects.engine_wanted("*"), subjects.engine_state("*"))
    ]
    service.hooks = [states.restart, *(mirror.restart for mirror in said_of_engines)]
    platform = Platform(database, models, settings.models_file, settings.networks, settings.key_names)
    orchestrator = Orchestrator(
        service,
        store,
        models,
        platform,
        ListedModels(database, service.broker, models, settings.networks),
        engines,
        Idempotency(database),
        LargeMessages(service.nc, objects, settings.message_max_bytes),
    )
    service.command("evaluations.create")(orchestrator.create_evaluations)
    service.command("evaluations.cancel")(orchestrator.cancel)
    service.command("evaluations.redrive")(orchestrator.redrive)
    service.command("leaderboard.put_on")(orchestrator.put_on_leaderboard)
    service.command("leaderboard.take_off")(orchestrator.take_off_leaderboard)
    service.command("models.create")(orchestrator.create_model)
    service.command("models.update")(orchestrator.update_model)
    service.command("models.publish")(orchestrator.publish_model)
    service.command("models.withdraw")(orchestrator.withdraw_model)
    service.command("models.create_listed")(orchestrator.create_listed)
    service.command("models.discover")(orchestrator.discover)
    service.command("models.delete")(orchestrator.delete_model)
    service.command("models.probe")(orchestrator.probe_model)
    service.command("models.start")(orchestrator.start_model)
    service.command("models.stop")(orchestrator.stop_model)
    parked = ParkedMessages(database, service.js)
    service.command("parked.replay")(parked.replay)
    service.command("parked.discard")(parked.discard)
    service.command("idempotency.claim")(orchestrator.claim_key)
    service.command("idempotency.finish")(orchestrator.finish_key)

    app = FastStream(service.broker, logger=None)

    @app.after_startup
    async def start() -> None:
        await orchestrator.start()
        await states.start()
        for mirror in said_of_engines:
            await mirror.start()
        await until_up(models.publish_all, "the broker")
        await service.nc.subscribe(subjects.landed("*"), cb=orchestrator.landed)
        await service.nc.subscribe(subjects.notes("*"), cb=orchestrator.noted)
        await service.nc.subscribe(subjects.lifecycle("*", "*"), cb=orchestrator.stepped)
        service.spawn(orchestrator.claim(), "claiming evaluations")
        service.spawn(orchestrator.renew(), "renewing leases")
        service.spawn(orchestrator.mend(), "mending models")
        service.spawn(platform.keep(), "keeping the models file")
        service.spawn(pacing.mirror(), "mirroring the states of models")
        service.spawn(engines.follow(), "following engines")

    @app.on_shutdown
    async def stop() -> None:
        for mirror in (states, *said_of_engines):
            await mirror.stop()
        await service.stop_background()
        await store.release()
        client.close()
        await objects.aclose()

    return app


if __name__ == "__main__":
    run(build)
