"""Certificates that come to their end, and those that knocked: clients', trusted authorities', the server's own."""

from collections.abc import Iterator, Sequence
from typing import Final

from keyrack.domain.instances import ClientCertificate, Instance, SeenCertificate, TrustedAuthority
from keyrack.service.health.findings import Finding, Level, ago
from keyrack.service.office.certificates import EXPIRY_ALARMS, dates, day

DAY: Final = 86_400
FORGOTTEN: Final = 7 * DAY
"""Seconds after which a certificate that knocked and came no more calls for no attention."""
TOLD: Final = 3
"""How many are named."""


def clients(
    instances: Sequence[Instance],
    certificates: Sequence[ClientCertificate],
    authorities: Sequence[TrustedAuthority],
    at: int,
) -> Iterator[Finding]:
    """Who may come in to each instance, and for how long; ``at`` is seconds since 1970."""
    for instance in instances:
        held = [each for each in certificates if each.instance == instance.identifier]
        trusted = [each for each in authorities if each.instance == instance.identifier]
        yield _pinned(instance.name, held, trusted, at)
        yield from _trusted(instance.name, trusted, at)


def _pinned(name: str, held: Sequence[ClientCertificate], trusted: Sequence[TrustedAuthority], at: int) -> Finding:
    what = f"clients of {name}"
    if not held and not trusted:
        return Finding(what, Level.WARNING, "none", f"add one with 'keyrack cert add {name} FILE'")
    odd = [f"{each.subject} ({each.fingerprint[:8]}): {remark}" for each in held for remark in dates(each, at)]
    if odd:
        act = f"renew it without a gap: 'keyrack cert rotate {name}' walks one through"
        return Finding(what, Level.WARNING, "; ".join(odd), act)
    told = f"{_count(len(held), 'certificate')} in force"
    if trusted:
        told += f", and whoever {_count(len(trusted), 'trusted authority')} {'lets' if len(trusted) == 1 else 'let'} in"
    return Finding(what, Level.OK, told)


def _trusted(name: str, trusted: Sequence[TrustedAuthority], at: int) -> Iterator[Finding]:
    """The dates of an authority are enforced: with it, every client that it lets in is out."""
    for each in trusted:
        left = (each.not_after - at) // DAY
        what = f"authority of {name}"
        act = f"trust its successor beside it: 'keyrack authority add {name} FILE'"
        if left < 0:
            told = f"{each.name} expired on {day(each.not_after)}: no client that it lets in is served"
            yield Finding(what, Level.FAILED, told, act)
        elif left <= EXPIRY_ALARMS[0]:
            told = f"{each.name} expires in {left} days, and with it every client that it lets in"
            yield Finding(what, Level.WARNING, told, act)


def seen(certificates: Sequence[SeenCertificate], at: int) -> Iterator[Finding]:
    """Certificates that knocked and are not trusted: one may be a vCenter that has renewed its own."""
    fresh = [each for each in certificates if at - each.last_at < FORGOTTEN]
    if not fresh:
        return
    named = "; ".join(
        f"{each.fingerprint[:8]} {each.subject or 'without a subject'} from {each.address}, "
        f"{_count(each.count, 'time')}, {ago(at - each.last_at)} ago"
        for each in fresh[:TOLD]
    )
    more = f"; and {len(fresh) - TOLD} more" if len(fresh) > TOLD else ""
    act = f"where it is yours: 'keyrack cert trust INSTANCE {fresh[0].fingerprint[:8]}'; 'keyrack cert seen' lists all"
    yield Finding("seen, not trusted", Level.WARNING, f"{named}{more}", act)


def server(days_left: int) -> Finding:
    """What the days that are left to the server's certificate call for: vCenter has to be told of the next one."""
    what = "server certificate"
    act = "'keyrack server-certificate renew' makes another, and says what to do in vCenter"
    if days_left < 0:
        return Finding(what, Level.FAILED, f"expired {-days_left} days ago", act)
    if days_left <= EXPIRY_ALARMS[0]:
        return Finding(what, Level.WARNING, f"expires in {days_left} days; vCenter has to trust the next one", act)
    return Finding(what, Level.OK, f"{days_left} days left")


def _count(number: int, noun: str) -> str:
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
