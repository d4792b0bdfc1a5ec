"""The tab Settings: what an instance is called and held to, and the way to what ends it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.responses import Response

from keyrack.domain.instances import Instance
from keyrack.domain.rights import PROOF_LASTS, Right
from keyrack.domain.secret import Secret
from keyrack.service.office import instance_rules, instances, seals
from keyrack.service.office.installing import LONGEST_DESCRIPTION, check_description, check_instance_name
from keyrack.service.office.refusals import ChangedMeanwhile, Unusable
from keyrack.shell.console.calls import Call, Typed
from keyrack.shell.console.rooms.instances.frame import address_of, as_seen, framed, held_by, room
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.instances import tag_of

_QUOTAS: Final = ("keys", "certificates", "requests")
_LIMITS: Final[Mapping[str, int]] = {
    "description": LONGEST_DESCRIPTION,
    "username": instance_rules.LONGEST_USERNAME,
    "password_from": instance_rules.SHORTEST_PASSWORD,
    "password_to": instance_rules.LONGEST_PASSWORD,
}


@room.shows("/instances/{instance}/settings")
async def show_settings(call: Call) -> Response:
    """Each group of settings in a form of its own."""
    instance = await framed(call)
    if call.trouble is not None and call.trouble.code == ChangedMeanwhile.code:
        call = replace(call, typed=_touched(call.typed))
    return call.show(
        "instances/settings.html",
        instance=instance,
        tab="settings",
        seen=tag_of(instance),
        held=await held_by(call, instance),
        most=instance_rules.MOST,
        limits=_LIMITS,
        proof_due=_proof_due(call),
        **await _hands(call, instance),
    )


def _touched(typed: Typed) -> Typed:
    """What was typed, without the fields that stand as the page had shown them: of those, the other's change counts."""
    return Typed([(name, value) for name, value in typed.pairs if (f"was_{name}", value) not in typed.pairs])


async def _hands(call: Call, instance: Instance) -> Mapping[str, Any]:
    """Who could agree as the second person, for those who may see people."""
    if not call.may(Right.PERSON_READ):
        return {"hands": None}
    able = instance_rules.eligible_for(instance.identifier, await call.catalog.persons())
    return {"hands": [each.name for each in able]}


def _proof_due(call: Call) -> bool:
    """Whether a password is asked for with what wants a proof: better with the first try than after it."""
    at = call.administration.administrator.proved_at
    return at is not None and call.now - at > PROOF_LASTS


@room.does("/instances/{instance}/describe", again=show_settings)
async def describe(call: Call) -> Response:
    """Another name, another description, or both."""
    found = await as_seen(call, Right.INSTANCE_CHANGE)
    new_name, text = call.typed.get("name"), call.typed.get("description")
    check_instance_name(new_name)
    check_description(text)
    former = found.name
    if new_name != found.name:
        found, _ = await instances.rename(call.administration, found.identifier, new_name, seen=found)
    found, _ = await instances.describe(call.administration, found.identifier, text, seen=found)
    called = found.name if call.path["instance"] == former else found.identifier
    return call.go(f"/instances/{called}/settings", done="instance-renamed")


@room.does("/instances/{instance}/quotas", again=show_settings)
async def set_quotas(call: Call) -> Response:
    """How much it may have and ask for."""
    found = await as_seen(call, Right.INSTANCE_QUOTA)
    keys, certificates, requests = (_number(call, name) for name in _QUOTAS)
    await instance_rules.set_quotas(
        call.administration,
        call.catalog,
        found.identifier,
        keys=keys,
        certificates=certificates,
        requests=requests,
        seen=found,
    )
    return _done(call, found, "quotas-set")


def _number(call: Call, name: str) -> int:
    told = call.typed.get(name)
    if not told.isdecimal() or len(told) > 12:
        raise Unusable(mark("write a whole number, in digits alone"), field=name)
    return int(told)


@room.does("/instances/{instance}/credential", again=show_settings)
async def set_credential(call: Call) -> Response:
    """A username and password that clients prove beside their certificate."""
    found = await as_seen(call, Right.INSTANCE_QUOTA)
    with Secret(bytearray(call.typed.raw("password").encode(errors="surrogatepass"))) as password:
        await instance_rules.set_credential(
            call.administration,
            call.premises.passwords,
            found.identifier,
            call.typed.get("username"),
            password,
            required="required" in call.typed,
            seen=found,
        )
    return _done(call, found, "credential-set")


@room.does("/instances/{instance}/clear-credential", again=show_settings)
async def clear_credential(call: Call) -> Response:
    """The certificate alone counts again."""
    found = await as_seen(call, Right.INSTANCE_QUOTA)
    await instance_rules.clear_credential(call.administration, found.identifier, seen=found)
    return _done(call, found, "credential-cleared")


@room.does("/instances/{instance}/require-two", again=show_settings)
async def require_two(call: Call) -> Response:
    """Two people must want what ends keys."""
    found = await as_seen(call, Right.INSTANCE_QUOTA)
    await instance_rules.require_two(call.administration, call.catalog, found.identifier, seen=found)
    return _done(call, found, "two-decide")


@room.does("/instances/{instance}/let-one-decide", again=show_settings)
async def let_one_decide(call: Call) -> Response:
    """One person is enough again: the last thing that two must want."""
    found = await as_seen(call, Right.INSTANCE_QUOTA)
    await instance_rules.let_one_decide(call.administration, call.catalog, found.identifier)
    return _done(call, found, "one-decides")


@room.does("/instances/{instance}/activate", again=show_settings)
async def activate(call: Call) -> Response:
    """Into service again."""
    found = await as_seen(call, Right.INSTANCE_CHANGE)
    await instances.activate(call.administration, found.identifier, seen=found)
    return _done(call, found, "instance-activated")


@room.does("/instances/{instance}/unseal", again=show_settings)
async def unseal(call: Call) -> Response:
    """Its clients get their keys again."""
    found = await as_seen(call, Right.INSTANCE_SEAL)
    await seals.unseal(call.administration, found.identifier)
    return _done(call, found, "instance-unsealed")


def _done(call: Call, instance: Instance, what: str) -> Response:
    return call.go(address_of(call, instance, "settings"), done=what)
