"""Problems as a person sees them: a page where a browser asked for one, `application/problem+json` everywhere else."""

from starlette.requests import Request
from starlette.responses import Response

from gateway.auth import wants_page
from gateway.problems import RETRY_AFTER_S, respond
from gateway.web.render import page
from shared.errors import Problem


def show(request: Request, problem: Problem) -> Response:
    if not wants_page(request.scope):
        return respond(problem)
    headers = {"Retry-After": str(RETRY_AFTER_S)} if problem.status == 503 else {}
    return page(request, "error.html", status=problem.status, headers=headers, problem=problem)
