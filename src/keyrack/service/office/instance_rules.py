"""What an instance is held to: its quotas, the credential that its clients send, and that two people decide."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Final

from keyrack.domain.instances import Credential, Instance, Quotas
from keyrack.domain.people import Person
from keyrack.domain.rights import Right
from keyrack.domain.secret import Secret
from keyrack.ports.key_affairs import KeyBook
from keyrack.ports.people import PeopleBook
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import ALONE, Consent, Wish, agreed, allowed, eligible
from keyrack.service.office.changing import change, changed, changed_meanwhile
from keyrack.service.office.refusals import Refused, Unusable
from keyrack.service.people.passwords import Passwords

MOST: Final = Quotas(keys=100_000_000, certificates=10_000, requests=1_000_000)
"""Beyond these no quota is set: that would be none."""
LONGEST_USERNAME: Final = 128
SHORTEST_PASSWORD: Final = 8
LONGEST_PASSWORD: Final = 256
"""Bytes in UTF-8."""
ELIGIBLE: Final = 2
"""People who have to be there before two are asked for."""


async def set_quotas(  # noqa: PLR0913 - three quotas
    administration: Administration,
    catalog: KeyBook,
    name: str,
    *,
    keys: int | None = None,
    certificates: int | None = None,
    requests: int | None = None,
    seen: Instance | None = None,
    consent: Consent = ALONE,
) -> tuple[Instance, bool]:
    """Set the quotas that are given; the others stay. What there is beyond a quota stays too, and no more comes.

    Raises ``Refused``, and ``SecondPersonNeeded`` where two people must want it.
    """
    found = await administration.instance(name)
    allowed(administration, Right.INSTANCE_QUOTA, found.identifier, consent)
    given = {"keys": keys, "certificates": certificates, "requests": requests}
    wanted = {what: number for what, number in given.items() if number is not None}
    most = asdict(MOST)
    for what, number in wanted.items():
        least = 1 if what == "requests" else 0
        if not least <= number <= most[what]:
            raise Unusable(f"a quota of {what} is between {least} and {most[what]}, and not {number}", field=what)

    def become(now: Instance) -> Instance:
        if now.dual_control_at != found.dual_control_at:
            raise changed_meanwhile(now)  # One alone may not change it any more, since a moment ago.
        return replace(now, quotas=replace(now.quotas, **wanted))

    if found.dual_control_at is None and consent.approval is None:
        return await change(
            administration,
            found.identifier,
            Right.INSTANCE_QUOTA,
            "instance.quotas",
            become,
            seen=seen,
            detail=_quotas_told,
        )
    if seen is not None and not found.is_as(seen):
        raise changed_meanwhile(found)
    after = become(found)
    if after == found and consent.approval is None:
        return found, False
    detail = _quotas_told(found, after)
    wish = Wish(
        act="instance.quotas",
        instance=found.identifier,
        target=found.identifier,
        arguments=detail,
        told=f"change quotas of instance {found.name!r}",
    )
    affairs = await agreed(administration, catalog, wish, needed=True, consent=consent)
    await changed(administration, "instance.quotas", found, after, detail, key_affairs=affairs)
    return after, True


def _quotas_told(before: Instance, after: Instance) -> Mapping[str, str | int]:
    """Those that change, and what they were."""
    was, is_ = asdict(before.quotas), asdict(after.quotas)
    differ = [what for what in is_ if is_[what] != was[what]]
    return {what: is_[what] for what in differ} | {f"former_{what}": was[what] for what in differ}


async def set_credential(
    administration: Administration,
    passwords: Passwords,
    name: str,
    username: str,
    password: Secret,
    *,
    required: bool = False,
    seen: Instance | None = None,
) -> Instance:
    """Have clients of the instance prove a username and password beside their certificate, from now on.

    A wrong one is always refused; with ``required`` so is none at all, where keys are made, given or ended. Only a hash
    is kept. ``password`` is UTF-8, and stays the caller's to wipe. Raises ``Refused``.
    """
    found = await administration.instance(name)
    administration.require(Right.INSTANCE_QUOTA, found.identifier)
    if not 0 < len(username) <= LONGEST_USERNAME or not username.isprintable():
        raise Unusable(f"a username has 1 to {LONGEST_USERNAME} printable characters", field="username")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise Unusable(
            f"the password has {len(password)} bytes; take {SHORTEST_PASSWORD} to {LONGEST_PASSWORD}", field="password"
        )
    made = Credential(username=username, password=await passwords.encoded(password), required=required)
    changed, _ = await change(
        administration,
        found.identifier,
        Right.INSTANCE_QUOTA,
        "instance.credential",
        lambda now: replace(now, credential=made),
        seen=seen,
        detail=lambda before, after: {"username": username, "required": int(required)},
    )
    return changed


async def clear_credential(
    administration: Administration, name: str, *, seen: Instance | None = None
) -> tuple[Instance, bool]:
    """Ask clients for their certificate alone again; a credential that they send all the same is not looked at."""
    return await change(
        administration,
        name,
        Right.INSTANCE_QUOTA,
        "instance.credential",
        lambda now: replace(now, credential=None),
        seen=seen,
        detail=lambda before, after: {"username": "", "required": 0},
    )


async def require_two(
    administration: Administration, people: PeopleBook, name: str, *, seen: Instance | None = None
) -> tuple[Instance, bool]:
    """From now on two people must want what ends keys of the instance, and neither of them alone can end that again.

    Raises ``Refused``, where fewer than two people could agree too: then nothing could be done at all any more.
    """
    found = await administration.instance(name)
    administration.require(Right.INSTANCE_QUOTA, found.identifier)
    able = eligible_for(found.identifier, await people.persons())
    if len(able) < ELIGIBLE:
        names = ", ".join(each.name for each in able)
        raise Refused(
            f"instance {found.name!r} cannot ask for two people: "
            + (f"only {names} could agree" if names else "nobody could agree")
            + "; first add people with the role security-officer or administrator: keyrack person add"
        )
    now = administration.now
    return await change(
        administration,
        found.identifier,
        Right.INSTANCE_QUOTA,
        "instance.dual-control",
        lambda each: each if each.dual_control_at is not None else replace(each, dual_control_at=now),
        seen=seen,
        detail=lambda before, after: {"on": 1},
    )


async def let_one_decide(
    administration: Administration, catalog: KeyBook, name: str, *, consent: Consent = ALONE
) -> tuple[Instance, bool]:
    """From now on one person is enough again: the last thing that two must want.

    Raises ``Refused``, and ``SecondPersonNeeded`` as long as nobody else has agreed.
    """
    found = await administration.instance(name)
    allowed(administration, Right.INSTANCE_QUOTA, found.identifier, consent)
    if found.dual_control_at is None:
        return found, False
    wish = Wish(
        act="instance.dual-control",
        instance=found.identifier,
        target=found.identifier,
        arguments={"on": 0},
        told=f"let one person alone end keys of instance {found.name!r}",
    )
    affairs = await agreed(administration, catalog, wish, needed=True, consent=consent)
    ended = replace(found, dual_control_at=None)
    await changed(administration, "instance.dual-control", found, ended, {"on": 0}, key_affairs=affairs)
    return ended, True


def eligible_for(instance: str, people: Sequence[Person]) -> Sequence[Person]:
    """Those who can log in and may agree as the second person for this instance."""
    return [each for each in eligible(people, instance) if each.can_log_in]
