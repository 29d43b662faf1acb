"""Models that an endpoint lists: registered in one step, and the local servers that have some. Predictors ask, the orchestrator registers."""

from fastapi import APIRouter

from gateway import examples
from gateway.api.models import encrypted
from gateway.auth import ADMIN
from gateway.idempotency import IdempotencyKey, hash_of, repeat_of
from gateway.openapi import example, problems
from gateway.parts import PartsOf
from gateway.plain import PlainBody
from shared.api import EndpointModels, EndpointModelsCreate, LocalEndpoint, Page

router = APIRouter(prefix="/models", tags=["models"], responses=problems(400, 401, 403, 422, 503))

REGISTERING_S = 30.0


@router.post(
    "/endpoint",
    summary="Register the models of an endpoint",
    status_code=201,
    dependencies=[ADMIN],
    responses={**example(201, "Registered", examples.ENDPOINT_MODELS), **problems(409, 413)},
)
async def create_endpoint_models(
    body: EndpointModelsCreate, plain: PlainBody, parts: PartsOf, idempotency_key: IdempotencyKey = None
) -> EndpointModels:
    """All that the endpoint lists, or those that `models` names: every one of them, or none where something is wrong. Those that are
    registered already, of the same endpoint and name there, are left as they are and come back as `present`."""
    model = body.model_dump(mode="json", exclude={"models"}) | {"api_key": encrypted(parts, body.api_key)}
    repeat = repeat_of("models.endpoint", idempotency_key, hash_of(plain))
    command = {"model": model, "names": body.models, "idempotency": repeat}
    created = await parts.command("orchestrator", "models.create_listed", command, timeout=REGISTERING_S)
    return EndpointModels.model_validate(created)


@router.post(
    "/discover",
    summary="Look for local inference servers",
    dependencies=[ADMIN],
    responses={**example(200, "Those that answer", examples.page(examples.LOCAL_ENDPOINT)), **problems(409)},
)
async def discover_models(parts: PartsOf) -> Page[LocalEndpoint]:
    """Asks the usual ports of vLLM, SGLang, llama.cpp, Ollama, LM Studio, TGI and `transformers serve` on a predictor's own machine.
    Refused where this deployment calls no loopback addresses (`ASSAY_ENDPOINT_ALLOW`)."""
    return Page[LocalEndpoint].model_validate(await parts.command("orchestrator", "models.discover", {}))
