"""Whether the process answers: asked by load balancers, without a token."""

from fastapi import APIRouter

from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.resources import Health

router = APIRouter(tags=["health"])


@operation(router, "GET", "/health", action="", failure="", answer=Health, signed_in=False)
async def health() -> Answer:
    """Tell that the process answers."""
    return Answer({"status": "ok"})
