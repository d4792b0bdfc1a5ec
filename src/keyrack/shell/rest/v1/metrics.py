"""``/metrics``: numbers for Prometheus, for those who may see how the server does."""

from starlette.requests import Request
from starlette.responses import Response

from keyrack.domain.rights import Right
from keyrack.shell.metrics.sheet import CONTENT_TYPE
from keyrack.shell.rest.v1.callers import visit_of
from keyrack.shell.rest.v1.premises import Premises
from keyrack.shell.rest.v1.problems import Problem
from keyrack.shell.rest.v1.routing import open_noun

opened = open_noun("metrics")


@opened.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {}}, "description": "The text form of Prometheus."}},
)
async def read_metrics(request: Request) -> Response:
    """Read the metrics: with an API key that has the right server.read, or from an allowed address."""
    premises: Premises = request.app.state.premises
    scrape = premises.scrape
    if scrape is None or not scrape.table.enabled:
        raise Problem("not-found", "metrics are switched off", hint="write enabled = true to the table [metrics]")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    address = request.client.host if request.client else ""
    if not scrape.allows(address, token.strip() if scheme.lower() == "bearer" else ""):
        visit = await visit_of(request)
        visit.administration.require(Right.SERVER_READ)
    return Response(await scrape.text(), media_type=CONTENT_TYPE)
