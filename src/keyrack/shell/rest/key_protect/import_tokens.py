"""Import tokens: a public key of the instance, under which key material comes in encrypted."""

from fastapi import APIRouter

from keyrack.embedded import import_tokens as use
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.key_bodies import NewImportToken
from keyrack.shell.rest.key_protect.resources import ImportTokenAnswer

router = APIRouter(tags=["import tokens"])


@operation(
    router,
    "POST",
    "/import_token",
    action="kms.import-token.create",
    failure="Import token could not be created",
    body=NewImportToken,
    needs_body=False,
    answer=ImportTokenAnswer,
    refusals=(413,),
)
async def post_import_token(desk: AtDesk) -> Answer:
    """Create an import token; it replaces the one that is there."""
    body = await desk.maybe_body(NewImportToken) or NewImportToken()
    made = await desk.act(use.make, body.expiration, body.max_allowed_retrievals)
    return Answer(shapes.import_token(made))


@operation(
    router,
    "GET",
    "/import_token",
    action="kms.import-token.read",
    failure="Import token could not be retrieved",
    answer=ImportTokenAnswer,
    refusals=(404, 409),
)
async def get_import_token(desk: AtDesk) -> Answer:
    """Retrieve the import token, with its public key and its nonce."""
    token = await desk.act(use.retrieve)
    keys = {"payload": shapes.text_of(token.public), "nonce": shapes.text_of(token.nonce)}
    return Answer(shapes.import_token(token) | keys)
