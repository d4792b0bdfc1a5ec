"""``/health``: whether this deployment lives, and whether it hands out keys."""

from keyrack.shell.rest.v1.models import Resource
from keyrack.shell.rest.v1.routing import open_noun

opened = open_noun("health")


class Live(Resource):
    """It lives."""

    status: str


@opened.get("/health/live")
async def health_live() -> Live:
    """Tell that the web process answers."""
    return Live(status="live")
