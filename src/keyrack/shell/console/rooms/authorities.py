"""Trusted authorities of an instance: shown what one would let in before it counts, narrowed, and trusted no more."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from starlette.responses import Response

from keyrack.domain.instances import Instance, TrustedAuthority
from keyrack.domain.rights import Right
from keyrack.service.office import admissions, authorities, impact
from keyrack.service.office.authorities import OfferedAuthority, Terms, is_vmca, read_authority
from keyrack.service.office.certificates import alarm_due, days_left, printable
from keyrack.service.office.client_removal import distrust
from keyrack.service.office.foreign_trust import refuse_foreign_authority
from keyrack.service.office.refusals import CertificateThere
from keyrack.shell.console.calls import Call, Room
from keyrack.shell.console.rooms.certificates_added import beside, handed, seal
from keyrack.shell.console.rooms.certificates_shown import own_authority
from keyrack.shell.console.rooms.instances import framed
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark
from keyrack.shell.rest.v1.certificates import taken

room = Room()
FIELDS = ("pem", "subject_pattern", "san_pattern", "name")

tells(
    {
        "authority-trusted": mark("The authority is trusted; its clients are let in now."),
        "authority-removed": mark("The authority is trusted no more; the clients that it let in are out."),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """An authority, for people."""

    authority: TrustedAuthority
    issuer: str
    serial: str
    vmca: bool
    """Whether it looks like the root of a vCenter's own authority."""
    days: int
    alarm: int | None

    @property
    def open_to_all(self) -> bool:
        """Whether no pattern narrows whom it lets in."""
        return not (self.authority.subject_pattern or self.authority.san_pattern)

    @property
    def loose(self) -> bool:
        """Whether whoever chooses a common name chooses what stands before the rest of the pattern."""
        return self.authority.subject_pattern.startswith("*") and len(self.authority.subject_pattern) > 1


def anchored(authority: TrustedAuthority, at: int) -> Anchor:
    """``at``: seconds since 1970."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = x509.load_der_x509_certificate(authority.der)
        return Anchor(
            authority=authority,
            issuer=printable(found.issuer.rfc4514_string()),
            serial=f"{found.serial_number:X}",
            vmca=is_vmca(found),
            days=days_left(authority, at),
            alarm=alarm_due(authority, at),
        )


@room.shows("/instances/{instance}/authorities/add")
async def show_trusting(call: Call) -> Response:
    """Drop, pick or paste an authority, and say whom of its clients it lets in."""
    return await _trusting(call)


@room.does("/instances/{instance}/authorities/add", again=show_trusting)
async def trust(call: Call) -> Response:
    """Show whom it would let in; with the second click, trust it."""
    instance = await framed(call)
    call.administration.require(Right.AUTHORITY_CHANGE, instance.identifier)
    own = own_authority(call.config)
    terms = Terms(
        subject_pattern=call.typed.get("subject_pattern"),
        san_pattern=call.typed.get("san_pattern"),
        name=call.typed.get("name")[:100],
    )
    with beside("pem"):
        offered = read_authority(
            handed(call, "pem"),
            instance,
            terms,
            at=call.now,
            own=own.fingerprint(hashes.SHA256()).hex() if own else "",
        )
        await refuse_foreign_authority(call.administration, offered.authority)
        held = await authorities.trusted(call.administration, instance)
        if any(each.fingerprint == offered.authority.fingerprint for each in held):
            raise CertificateThere(
                "the instance trusts this authority already; to change its patterns remove it and add it anew"
            )
    if call.typed.get("seen") != seal(call, *FIELDS):
        return await _trusting(call, offered)
    with beside("pem"):
        added = await authorities.trust(call.administration, offered.authority)
    await taken(call.known, call.premises)
    return call.go(f"{_base(call)}/{added.fingerprint}", done="authority-trusted")


async def _trusting(call: Call, offered: OfferedAuthority | None = None) -> Response:
    instance = await framed(call)
    return call.show(
        "authorities/add.html",
        instance=instance,
        tab="certificates",
        anchor=anchored(offered.authority, call.now) if offered else None,
        key=offered.key if offered else "",
        seal=seal(call, *FIELDS),
    )


@room.shows("/instances/{instance}/authorities/{authority}")
async def show_authority(call: Call) -> Response:
    """Whom it lets in, whom it has let in, and how to end that."""
    instance, anchor = await _found(call)
    _, admitted = await admissions.listed(call.administration, call.catalog, instance)
    return call.show(
        "authorities/authority.html",
        instance=instance,
        tab="certificates",
        anchor=anchor,
        admitted=[each for each in admitted if each.authority == anchor.authority.fingerprint],
    )


@room.shows("/instances/{instance}/authorities/{authority}/remove")
async def show_distrusting(call: Call) -> Response:
    """What stops when its clients are let in no more."""
    instance, anchor = await _found(call)
    _, admitted = await admissions.listed(call.administration, call.catalog, instance)
    pins, others = await _ways_in(call, instance)
    return call.show(
        "authorities/remove.html",
        instance=instance,
        tab="certificates",
        anchor=anchor,
        admitted=[each for each in admitted if each.authority == anchor.authority.fingerprint],
        pins=pins,
        others=others - 1,
    )


@room.does("/instances/{instance}/authorities/{authority}/remove", again=show_distrusting)
async def remove(call: Call) -> Response:
    """End the trust, once the instance's name is repeated."""
    instance, anchor = await _found(call)
    call.administration.require(Right.AUTHORITY_CHANGE, instance.identifier)
    words = call.typed.get("confirmation") or None
    pins, held = await _ways_in(call, instance)
    if pins or held > 1:
        # The use case asks for no words where another way in is left; whom this one lets in is stopped all the same.
        nothing = impact.impact_of_rows(instance, (), call.now)
        impact.confirm_for(nothing, instance, mark("every client that this authority alone lets in is out"), words)
    await distrust(call.administration, call.catalog, instance, anchor.authority, confirmation=words)
    await taken(call.known, call.premises)
    return call.go(f"/instances/{quote(call.path['instance'])}/certificates", done="authority-removed")


async def _ways_in(call: Call, instance: Instance) -> tuple[int, int]:
    pins: Sequence[object] = await call.catalog.certificates(instance.identifier)
    return len(pins), len(await call.catalog.authorities(instance.identifier))


async def _found(call: Call) -> tuple[Instance, Anchor]:
    instance = await framed(call)
    held = await authorities.find_authority(call.administration, instance, call.path["authority"])
    return instance, anchored(held, call.now)


def _base(call: Call) -> str:
    return f"/instances/{quote(call.path['instance'])}/authorities"
