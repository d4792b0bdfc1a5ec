"""Log-ins of people whom a provider knows: found by issuer and subject, and by nothing else that a token says.

Names and addresses in tokens are what people have typed there: they make a name to read, and decide nothing.
"""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final
from urllib.parse import urlsplit

from keyrack.domain.people import Person, is_name_of_issuer
from keyrack.domain.rights import Grant
from keyrack.ports.catalog import AlreadyThere, Conflict, LastAdministrator, Unit
from keyrack.ports.people import PeopleChanges
from keyrack.service.office.refusals import ChangedMeanwhile, NotRecognised
from keyrack.service.people.door import USUAL, Ends
from keyrack.service.people.id_tokens import Claims
from keyrack.service.people.logins import UNKNOWN, LoggedIn, Visitor, begin
from keyrack.service.people.register import Register

MOST_VALUES: Final = 1000
"""Values of a claim that are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a provider's word counts for here."""

    auto_create: bool = False
    name_claim: str = "preferred_username"
    roles_claim: str | None = None
    """With it, the provider says who may what: the grants are those of its values, at each log-in anew."""
    grants: Mapping[str, Sequence[Grant]] | None = None
    """By value of that claim."""


async def log_in_by_claims(
    book: Register, claims: Claims, policy: Policy, *, visitor: Visitor, proved_at: int | None, ends: Ends = USUAL
) -> LoggedIn:
    """Begin the log-in of whom the claims of a verified ID token mean.

    ``proved_at``: when the provider has seen a proof, in seconds since 1970; ``None`` where it does not say. Raises
    :class:`NotRecognised` for somebody unknown, or locked out.
    """
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    person = await book.person_meant(issuer, subject)
    if person is None and policy.auto_create:
        person = await _add(book, claims, policy, visitor)
    if person is None or person.disabled_at is not None:
        named = {"name": person.name} if person else {"issuer": issuer[:200], "subject": subject}
        refused = visitor.entry(
            "session.refused", "Authentication Not Successful", UNKNOWN, person, way="oidc", **named
        )
        await book.commit(Unit(entries=(refused,)))
        raise NotRecognised(
            "nobody who may log in here is meant by your account",
            hint=f"an administrator adds you by 'keyrack person add NAME --subject {subject}'",
        )
    person = await _with_roles(book, person, claims, policy, visitor)
    return await begin(book, person, "oidc", visitor=visitor, ends=ends, proved_at=proved_at)


async def _add(book: Register, claims: Claims, policy: Policy, visitor: Visitor) -> Person:
    """Enter somebody new; of two log-ins at once, one does."""
    issuer, subject = str(claims["iss"]), str(claims["sub"])
    plain = name_for(claims.get(policy.name_claim), issuer)
    mark = sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:8]
    for name in (plain, f"{plain}~{mark}"):
        made = Person(
            identifier=str(uuid.uuid4()),
            name=name,
            source=issuer,
            subject=subject,
            display=_readable(claims.get("name") or claims.get("email")),
            created_at=visitor.now,
            created_by=f"person-{name}",
        )
        entry = visitor.entry("person.add", "success", made.initiator, made, name=name, source=issuer, way="oidc")
        try:
            await book.commit(Unit(entries=(entry,), people=PeopleChanges(persons=(made,))))
        except AlreadyThere:
            found = await book.person_meant(issuer, subject)
            if found is not None:
                return found
            continue
        return made
    raise ChangedMeanwhile("somebody has just been given the same name", hint="log in again")


def name_for(claim: Any, issuer: str) -> str:
    """The name of a new person: what the claim says before an ``@``, and the issuer's host behind it."""
    host = re.sub(r"[^a-z0-9.-]", "-", (urlsplit(issuer).hostname or "issuer").lower())
    said = claim if isinstance(claim, str) else ""
    local = re.sub(r"[^a-z0-9._+-]+", "-", said.partition("@")[0].lower()).strip("-._+")[:64]
    made = f"{local}@{host}"
    return made if is_name_of_issuer(made) else f"person@{host}"


async def _with_roles(book: Register, person: Person, claims: Claims, policy: Policy, visitor: Visitor) -> Person:
    """The person with the roles that the provider gives now, where it is the one who gives them."""
    if policy.roles_claim is None:
        return person
    wanted = frozenset(
        grant for value in _values(claims.get(policy.roles_claim)) for grant in (policy.grants or {}).get(value, ())
    )
    if wanted == person.grants:
        return person
    changed = replace(person, grants=wanted, revision=person.revision + 1)
    told = ", ".join(f"{each.role} {each.instance or 'everywhere'}" for each in sorted(wanted))[:500]
    entry = visitor.entry("person.grant", "success", person.initiator, person, grants=told or "none", way="oidc")
    changes = PeopleChanges(persons=(changed,), ended_of=(person.identifier,))
    try:
        await book.commit(Unit(entries=(entry,), people=changes))
    except LastAdministrator:
        raise NotRecognised(
            "your account has no role of an administrator any more, and nobody else here is one who can log in",
            hint="make somebody an administrator at the machine, with 'keyrack person add'",
        ) from None
    except Conflict:
        raise ChangedMeanwhile("this person was changed just now", hint="log in again") from None
    return changed


def _values(claim: Any) -> Sequence[str]:
    listed = claim if isinstance(claim, list) else [claim]
    return [each for each in listed[:MOST_VALUES] if isinstance(each, str)]


def _readable(text: Any) -> str:
    return "".join(each for each in text if each.isprintable())[:200] if isinstance(text, str) else ""
