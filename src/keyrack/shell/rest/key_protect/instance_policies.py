"""Policies of an instance, and the port that one of them is about."""

from typing import Annotated

from fastapi import APIRouter, Query

from keyrack.embedded import policies as use
from keyrack.embedded.call import Call
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Right
from keyrack.embedded.instances import PolicyType
from keyrack.shell.rest.key_protect import shapes
from keyrack.shell.rest.key_protect.answer import Answer
from keyrack.shell.rest.key_protect.calls import operation
from keyrack.shell.rest.key_protect.desk import AtDesk
from keyrack.shell.rest.key_protect.envelope import collection
from keyrack.shell.rest.key_protect.policy_bodies import SetInstancePolicies
from keyrack.shell.rest.key_protect.resources import AllowedIpPort, InstancePolicies

router = APIRouter(tags=["policies of an instance"])

Policy = Annotated[PolicyType | None, Query(description="Which policy; without it all.")]


@operation(
    router,
    "GET",
    "/instance/policies",
    action="kms.instance-policies.read",
    failure="Instance policies could not be retrieved",
    answer=InstancePolicies,
)
async def get_instance_policy(desk: AtDesk, policy: Policy = None) -> Answer:
    """List the policies of the instance."""
    found = await desk.act(use.instance_policies, policy)
    return Answer(collection("policy", [shapes.instance_policy(kind, each) for kind, each in found.items()]))


@operation(
    router,
    "PUT",
    "/instance/policies",
    action="kms.instance-policies.write",
    failure="Instance policies could not be set",
    body=SetInstancePolicies,
    status=204,
    refusals=(409, 413),
)
async def put_instance_policy(desk: AtDesk, policy: Policy = None) -> Answer:
    """Set policies of the instance.

    Those of new keys do not touch keys that are there; those of networks count at the next request.
    """
    body = await desk.body(SetInstancePolicies)
    await desk.act(use.set_instance_policies, body.merged(policy))
    return Answer(status=204)


@operation(
    router,
    "GET",
    "/instance/allowed_ip_port",
    action="kms.instance-policies.read",
    failure="The port could not be retrieved",
    answer=AllowedIpPort,
)
async def get_allowed_ip_port(desk: AtDesk) -> Answer:
    """Tell the port that clients of an instance with allowed addresses use.

    Here it is the one port that there is. Without such a policy, nothing is told.
    """
    limited = await desk.act(_has_allowed_addresses)
    ports = [{"private_endpoint_port": desk.premises.port}] if limited else []
    return Answer(collection("allowed_ip_metadata", ports))


def _has_allowed_addresses(house: House, call: Call) -> bool:
    with house.reading() as reading:
        reading.allow(call, Right.LIST)
        return reading.instance(call.instance).enabled(PolicyType.ALLOWED_IP) is not None
