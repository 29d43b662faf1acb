"""`/`: the environments there are, and a bundle to add one."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.web.render import page

router = APIRouter(include_in_schema=False)


@router.get("/")
async def show_hub(request: Request) -> Response:
    return page(request, "hub.html")
