"""The predictor: calls model endpoints. Needs a broker and an object store; any number of replicas share the work.

python -m services.predictor.app
"""

import asyncio

from faststream import FastStream

from services.predictor.handlers import Predictor
from shared import subjects
from shared.buckets import Mirror
from shared.large import LargeMessages
from shared.secrets import load_cipher
from shared.service import Service, run, set_up_logging, until_up
from shared.settings import load_settings
from shared.storage.objects import Objects


async def build() -> FastStream:
    settings = load_settings()
    set_up_logging(settings, "predictor")
    service = Service("predictor", settings)
    await service.connect()
    objects = Objects(settings)
    service.checks = {"nats": service.nats_answers, "objects": objects.reachable}

    cipher = asyncio.ensure_future(until_up(lambda: load_cipher(settings, objects), "the object store"))
    predictor = Predictor(service, cipher, LargeMessages(service.nc, objects, settings.message_max_bytes))
    models = Mirror(service.js, subjects.KV_MODELS, predictor.model_changed)
    cancelled = Mirror(service.js, subjects.KV_CANCELLED, predictor.evaluation_cancelled)
    pacing = Mirror(service.js, subjects.KV_PACING, predictor.pacing_changed)
    service.command("probe")(predictor.probe)
    service.command("models")(predictor.list_models)
    service.command("discover")(predictor.discover)
    service.hooks = [cancelled.restart, pacing.restart, models.restart, predictor.reconnected]

    app = FastStream(service.broker, logger=None)

    @app.after_startup
    async def start() -> None:
        await predictor.start()
        # What was cancelled, and what is paused, must be known before the first job is taken.
        await cancelled.start()
        await pacing.start()
        await models.start()
        service.spawn(predictor.tick(), "the predictor's clock")
        service.spawn(predictor.ask_idle(), "asking models that nobody calls")

    @app.on_shutdown
    async def stop() -> None:
        await models.stop()
        await pacing.stop()
        await cancelled.stop()
        await predictor.stop()
        await objects.aclose()

    return app


if __name__ == "__main__":
    run(build)
