"""Actions of root keys: wrap, unwrap, rewrap, rotate; and the deprecated form that names the action in the query."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query

from keyrack.embedded import actions as use
from keyrack.embedded import lifecycle as lives
from keyrack.embedded.errors import InvalidQueryParam
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import AtDesk, Desk
from keyrack.shell.rest.key_protect.envelope import vendor
from keyrack.shell.rest.key_protect.key_bodies import AnyAction, Rotate, Unwrap, Wrap
from keyrack.shell.rest.key_protect.lifecycle import SILENT, restore_key
from keyrack.shell.rest.key_protect.resources import ActionAnswer, Rewrapped, Unwrapped, Wrapped
from keyrack.shell.rest.key_protect.shapes import text_of

router = APIRouter(tags=["actions of root keys"])


async def _wrap(desk: Desk, name: str) -> dict[str, Any]:
    body = await desk.maybe_body(Wrap) or Wrap()
    done = await desk.act(use.wrap, name, body.plaintext, body.aad)
    made = {} if done.plaintext is None else {"plaintext": done.plaintext}
    return made | {"ciphertext": text_of(done.ciphertext), "keyVersion": {"id": done.version}}


async def _unwrap(desk: Desk, name: str) -> dict[str, Any]:
    body = await desk.body(Unwrap)
    done = await desk.act(use.unwrap, name, body.ciphertext, body.aad)
    told: dict[str, Any] = {"plaintext": done.plaintext, "keyVersion": {"id": done.version}}
    if done.rewrapped is not None:
        told["ciphertext"] = text_of(done.rewrapped)
        told["rewrappedKeyVersion"] = {"id": done.rewrapped_version}
    return told


async def _rewrap(desk: Desk, name: str) -> dict[str, Any]:
    body = await desk.body(Unwrap)
    done = await desk.act(use.rewrap, name, body.ciphertext, body.aad)
    return {
        "ciphertext": text_of(done.ciphertext),
        "keyVersion": {"id": done.version},
        "rewrappedKeyVersion": {"id": done.rewrapped_version},
    }


async def _rotate(desk: Desk, name: str) -> None:
    body = await desk.maybe_body(Rotate) or Rotate()
    await desk.act(lives.rotate, name, body.payload, body.encrypted())


@operation(
    router,
    "POST",
    "/keys/{id}/actions/wrap",
    action="kms.secrets.wrap",
    failure="Plaintext could not be wrapped",
    body=Wrap,
    body_media=vendor("key_action_wrap"),
    needs_body=False,
    answer=Wrapped,
    media=vendor("key_action_wrap"),
    refusals=(404, 409, 410, 413),
)
async def wrap_key(desk: AtDesk, id: str) -> Answer:
    """Wrap a plaintext with a root key.

    Without a plaintext the key manager makes 32 random bytes, and answers them too.
    """
    return Answer(await _wrap(desk, id), media=vendor("key_action_wrap"))


@operation(
    router,
    "POST",
    "/keys/{id}/actions/unwrap",
    action="kms.secrets.unwrap",
    failure="Ciphertext could not be unwrapped",
    body=Unwrap,
    body_media=vendor("key_action_unwrap"),
    answer=Unwrapped,
    media=vendor("key_action_unwrap"),
    refusals=(404, 409, 410, 413, 422),
)
async def unwrap_key(desk: AtDesk, id: str) -> Answer:
    """Unwrap what a root key has wrapped.

    After a rotation the answer also has the ciphertext of the newest version: keep that one.
    """
    return Answer(await _unwrap(desk, id), media=vendor("key_action_unwrap"))


@operation(
    router,
    "POST",
    "/keys/{id}/actions/rewrap",
    action="kms.secrets.rewrap",
    failure="Ciphertext could not be rewrapped",
    body=Unwrap,
    body_media=vendor("key_action_rewrap"),
    answer=Rewrapped,
    media=vendor("key_action_rewrap"),
    refusals=(404, 409, 410, 413, 422),
)
async def rewrap_key(desk: AtDesk, id: str) -> Answer:
    """Wrap with the newest version what an older one has wrapped; the plaintext is not told."""
    return Answer(await _rewrap(desk, id), media=vendor("key_action_rewrap"))


@operation(
    router,
    "POST",
    "/keys/{id}/actions/rotate",
    action="kms.secrets.rotate",
    failure="Key could not be rotated",
    body=Rotate,
    body_media=vendor("key_action_rotate"),
    needs_body=False,
    status=204,
    refusals=(404, 409, 410, 413),
)
async def rotate_key(desk: AtDesk, id: str) -> Answer:
    """Give a root key a new version.

    One that was imported needs new key material; one that was generated gets it here.
    """
    await _rotate(desk, id)
    return Answer(status=204)


_TELLING: Mapping[str, Callable[[Desk, str], Awaitable[dict[str, Any]]]] = {
    "wrap": _wrap,
    "unwrap": _unwrap,
    "rewrap": _rewrap,
}
"""Actions that answer something, by the word in the query."""


@operation(
    router,
    "POST",
    "/keys/{id}",
    deprecated=True,
    action="kms.secrets.default",
    failure="Action could not be performed on the key",
    body=AnyAction,
    body_media=vendor("key_action"),
    needs_body=False,
    answer=ActionAnswer,
    media=vendor("key_action"),
    also=(201, 204),
    refusals=(404, 409, 410, 413, 422),
)
async def action_on_key(
    desk: AtDesk,
    id: str,
    action: Annotated[str, Query(description="The action: as the last word of the paths that are not deprecated.")],
) -> Answer:
    """Perform an action, in the old form."""
    if action in _TELLING:
        return Answer(await _TELLING[action](desk, id), media=vendor("key_action"))
    if action == "rotate":
        await _rotate(desk, id)
    elif action == "restore":
        return await restore_key(desk, id)
    elif action in SILENT:
        await desk.act(SILENT[action], id)
    else:
        known = ", ".join(sorted((*_TELLING, "rotate", "restore", *SILENT)))
        raise InvalidQueryParam(
            f"The query parameter `action` must be: one of {known}", target=("query_param", "action")
        )
    return Answer(status=204)
