"""Policies of keys: rotation and dual authorisation of deletion."""

from typing import Annotated

from fastapi import APIRouter, Query

from keyrack.embedded import policies as use
from keyrack.embedded.call import Call
from keyrack.embedded.house import House
from keyrack.embedded.keys import Key
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.envelope import JSON, collection
from keyrack.shell.rest.key_protect.key_bodies import DualAuthDelete, Rotation
from keyrack.shell.rest.key_protect.policy_bodies import KeyPolicyKind, SetKeyPolicies
from keyrack.shell.rest.key_protect.resources import KeyPolicies

router = APIRouter(tags=["policies of keys"])

Policy = Annotated[KeyPolicyKind | None, Query(description="Which policy; without it both.")]
BOTH = {"dualAuthDelete", "rotation"}


@operation(
    router,
    "GET",
    "/keys/{id}/policies",
    action="kms.policies.read",
    failure="Policies could not be retrieved",
    answer=KeyPolicies,
    refusals=(404, 410),
)
async def get_policy(desk: AtDesk, id: str, policy: Policy = None) -> Answer:
    """List the policies of a key."""
    key = await desk.act(use.key_policies, id)
    return Answer(collection("policy", shapes.key_policies(desk.premises, key, {policy} if policy else BOTH)))


@operation(
    router,
    "PUT",
    "/keys/{id}/policies",
    action="kms.policies.write",
    failure="Policies could not be set",
    body=SetKeyPolicies,
    body_media=JSON,
    answer=KeyPolicies,
    refusals=(404, 409, 410, 413),
)
async def put_policy(desk: AtDesk, id: str, policy: Policy = None) -> Answer:
    """Set policies of a key."""
    body = await desk.body(SetKeyPolicies)
    dual, rotation = body.merged(policy)
    key = await desk.act(_set, id, dual, rotation)
    given = {name for name, told in (("dualAuthDelete", dual), ("rotation", rotation)) if told is not None}
    return Answer(collection("policy", shapes.key_policies(desk.premises, key, given)))


def _set(house: House, call: Call, name: str, dual: DualAuthDelete | None, rotation: Rotation | None) -> Key:
    before = None
    if rotation is not None and rotation.interval_month is None:
        before = use.key_policies(house, call, name).rotation
    return use.set_key_policies(
        house,
        call,
        name,
        dual_auth_delete=None if dual is None else dual.enabled,
        rotation=None if rotation is None else rotation.policy(before),
    )
