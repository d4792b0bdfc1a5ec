"""What the model says of a call of the administration API: by the rights table, and by what the call names."""

from enum import StrEnum

from keyrack.domain.rights import EVERYWHERE
from keyrack.testing.tenancy import Caller, Tenant, World
from keyrack.testing.tenancy_calls import Call
from keyrack.testing.tenancy_rights import ACTS, NEEDS, Need


class Verdict(StrEnum):
    """What the model says of a call."""

    STRANGER = "unauthenticated"
    HIDDEN = "not-found"
    FORBIDDEN = "forbidden"
    EITHER = "not-found or forbidden"
    ALLOWED = "allowed"
    OWN = "own"
    """Whoever is known may; the answer depends on what is theirs."""


class Broken(AssertionError):
    """The server did what the model says it must not."""


def verdict(call: Call, world: World) -> Verdict:
    """By the rights table, and by what the call names."""
    caller, need = call.caller, NEEDS.get(call.route.name)
    if caller is None or not caller.stands:
        return Verdict.STRANGER
    if need is None:
        raise Broken(f"nobody has said which right {call.route.name} needs: enter it in keyrack.testing.tenancy_rights")
    if "{instance}" in call.route.path and (call.tenant is None or not caller.sees(call.tenant)):
        return Verdict.HIDDEN
    body = call.body.get("instance") if isinstance(call.body, dict) else None
    if (body or call.query.get("instance")) and call.missing("instance"):
        return Verdict.EITHER if body else Verdict.HIDDEN
    missing = bool(call.missing()) and (need.subject or "person" in call.query)
    held = _held(call, caller, need, world)
    if missing:
        return _missing(call, held=held)
    if not held:
        return Verdict.FORBIDDEN
    return Verdict.OWN if need.right is None and call.route.name != "act_on_keys" else Verdict.ALLOWED


def _missing(call: Call, *, held: bool) -> Verdict:
    """What is named is not there: whether that or the right is looked at first tells nothing of it."""
    if not held:
        return Verdict.HIDDEN if call.missing("approval") or call.missing("api_key") else Verdict.EITHER
    return Verdict.EITHER if call.missing("session") or call.route.name == "create_api_key" else Verdict.HIDDEN


def _held(call: Call, caller: Caller, need: Need, world: World) -> bool:
    right = ACTS[call.body["act"]] if call.route.name == "act_on_keys" else need.right
    if right is None or (need.own and call.own):
        return True
    if need.anywhere and "instance" not in call.query:
        return any(caller.may(right, each.identifier) for each in _seen(caller, world))
    where = call.tenant.identifier if call.tenant else call.target or EVERYWHERE
    if need.anywhere:
        (named,) = [each.value for each in call.references if each.kind == "instance"]
        return any(caller.may(right, each.identifier) for each in _seen(caller, world) if named in _names(each))
    return caller.may(right, where) and (need.also is None or caller.may(need.also))


def _seen(caller: Caller, world: World) -> list[Tenant]:
    return [each for each in world.present if caller.sees(each)]


def _names(tenant: Tenant) -> set[str]:
    return {tenant.identifier, tenant.name}
