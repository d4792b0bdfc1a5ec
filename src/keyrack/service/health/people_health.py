"""Whether somebody can administer, whose API key ends, who is locked out, and what waits for a second person."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from keyrack.domain.approvals import Approval, ApprovalState
from keyrack.domain.people import ApiKey, Person
from keyrack.service.health.findings import Finding, Level, ago

DAY: Final = 86_400
KEY_SOON: Final = 14 * DAY
"""Seconds before an API key's end that call for attention."""
HURRY: Final = DAY
"""Seconds before an approval's end that are told as little."""


def people(
    persons: Sequence[Person], api_keys: Sequence[ApiKey], waits: Mapping[str, int], at: int
) -> Iterator[Finding]:
    """Everything about people; ``waits`` tells, by name, when the next password is looked at, in seconds since 1970."""
    there = [each for each in persons if each.removed_at is None]
    yield from _administrators(there)
    yield from _locked(there, waits, at)
    yield from _keys(there, api_keys, at)


def _administrators(persons: Sequence[Person]) -> Iterator[Finding]:
    """On the machine itself everything can still be done; over the API nobody could let anybody in."""
    can = [each for each in persons if each.administers]
    if can:
        yield Finding("people", Level.OK, f"{len(persons)}, of whom {len(can)} can administer")
        return
    waiting = next((each for each in persons if each.disabled_at is None), None)
    if waiting is not None:
        act = f"'keyrack person invite {waiting.name}' prints a link that sets a password, once"
        yield Finding("people", Level.WARNING, "no administrator can log in: nobody has set a password yet", act)
    else:
        act = "'keyrack person add NAME --role administrator' adds one, and prints the link that sets the password"
        yield Finding("people", Level.WARNING, "no administrator can log in: there is none", act)


def _locked(persons: Sequence[Person], waits: Mapping[str, int], at: int) -> Iterator[Finding]:
    for each in persons:
        left = waits.get(each.name, 0) - at
        if left > 0:
            told = f"there were too many wrong passwords; the next one is looked at in {ago(left)}"
            act = f"'keyrack audit search' shows from where; 'keyrack person invite {each.name}' lets them in before"
            yield Finding(f"log-in of {each.name}", Level.WARNING, told, act)


def _keys(persons: Sequence[Person], api_keys: Sequence[ApiKey], at: int) -> Iterator[Finding]:
    names = {each.identifier: each.name for each in persons}
    for each in api_keys:
        if each.revoked_at is not None or each.expires_at is None or each.person not in names:
            continue
        left = each.expires_at - at
        if 0 < left <= KEY_SOON:
            told = f"{each.name} of {names[each.person]} expires in {ago(left)}; its program is refused from then on"
            act = f"make its successor: 'keyrack api-key create {names[each.person]} NAME'"
            yield Finding("API key", Level.WARNING, told, act)


def approvals(wishes: Sequence[Approval], instances: Mapping[str, str], at: int) -> Iterator[Finding]:
    """What waits for a second person; ``instances`` are names by identifier."""
    for each in wishes:
        if each.state(at) is not ApprovalState.WAITING:
            continue
        left = each.expires_at - at
        where = f" in {instances.get(each.instance, each.instance)}" if each.instance else ""
        told = f"{each.act}{where}, asked for by {each.asked_by}, waits for a second person; it lapses in {ago(left)}"
        act = f"somebody else agrees with 'keyrack approval agree {each.identifier[:8]}', after 'keyrack approval show'"
        yield Finding("approval", Level.WARNING if left <= HURRY else Level.OK, told, act)
