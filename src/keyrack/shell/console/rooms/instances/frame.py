"""What the pages of one instance have in common: finding it, its address, and that no form rests on old news."""

from keyrack.domain.instances import Instance
from keyrack.domain.rights import Right
from keyrack.ports.key_affairs import Holding
from keyrack.service.office.refusals import ChangedMeanwhile, Forbidden
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.instances import tag_of

room = Room()

tells(
    {
        "instance-created": mark("The instance is made, and serves. Next, let the clients of its vCenter in."),
        "instance-entered": mark("The instance is made. Give it a key manager and a root key to put it into service."),
        "instance-configured": mark("The root key is proved, and the instance serves."),
        "instance-renamed": mark("The instance is saved."),
        "quotas-set": mark("The quotas are set."),
        "credential-set": mark("From now on clients prove this username and password."),
        "credential-cleared": mark("From now on clients prove their certificate alone."),
        "two-decide": mark("From now on two people must want what ends keys of this instance."),
        "one-decides": mark("One person decides alone again."),
        "instance-deactivated": mark("The instance is out of service. Nothing of it is lost."),
        "instance-activated": mark("The instance is in service."),
        "instance-sealed": mark("The instance is sealed: no key of it is handed out."),
        "instance-unsealed": mark("The instance is unsealed: its clients get their keys again."),
        "instance-removed": mark("The instance is removed. The journal keeps what happened to it."),
    }
)


async def framed(call: Call) -> Instance:
    """The instance that the address names, by identifier or name; one that whoever asks may not see is not there."""
    return await call.administration.instance(call.path["instance"])


async def held_by(call: Call, instance: Instance) -> Holding:
    """What one instance has, from its own counters: when a key was last fetched is not among them."""
    catalog, identifier = call.catalog, instance.identifier
    return Holding(
        keys=await catalog.living(identifier),
        certificates=len(await catalog.certificates(identifier)),
        authorities=len(await catalog.authorities(identifier)),
    )


def address_of(call: Call, instance: Instance, page: str) -> str:
    """Of a page of the instance, called as whoever asks has called it, as long as that is its name."""
    typed = call.path.get("instance", "")
    called = typed if typed == instance.name else instance.identifier
    return f"/instances/{called}/{page}"


async def as_seen(call: Call, right: Right) -> Instance:
    """The instance, where it still is as the form has shown it; raises ``ChangedMeanwhile``, or before that
    ``Forbidden`` where whoever asks does not have the right.

    What was typed stays, and the page shows the instance as it is now: who sends it again has seen that.
    """
    found = await framed(call)
    offered(call, right, found)
    if call.typed.get("seen") != tag_of(found):
        raise ChangedMeanwhile(
            mark("somebody has changed the instance since you opened this page, and nothing of yours was saved"),
            hint=mark("the page shows it as it is now, with what you have typed: look at it, and send it again"),
        )
    return found


def offered(call: Call, right: Right, instance: Instance) -> None:
    """Raise ``Forbidden`` where the page of an act is not for whoever asks; no proof is asked for looking at it."""
    if not call.may(right, instance.identifier):
        raise Forbidden(
            f"this needs the right {right.title!r}, to {right.meaning}",
            hint="an administrator can grant a role that has it; 'Rights' in docs/rights.md lists them",
        )


def confirmation_in(call: Call) -> str | None:
    """The words that were typed to confirm an act; ``None`` where none were asked for yet."""
    return call.typed.get("confirmation") if "confirmation" in call.typed else None
