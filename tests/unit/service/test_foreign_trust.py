"""Tenants and their certificates, which are no secret: nobody takes over, or shuts out, the clients of another."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from keyrack.domain.instances import ClientCertificate, Instance, SeenCertificate, TrustedAuthority
from keyrack.domain.rights import EVERYTHING, Grant, Grants, Role
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import Unit
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.office import admissions, authorities
from keyrack.service.office.adapters import Adapters, Rooms
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.office.authorities import Terms, read_authority
from keyrack.service.office.certificates import fits_one_name, read
from keyrack.service.office.refusals import CertificateElsewhere
from keyrack.testing.certificates import Algorithm, Identity, authority, client, issue
from keyrack.testing.rest import open_face

NOW = int(time.time())
CA = (x509.BasicConstraints(ca=True, path_length=None), True)


@dataclass(slots=True)
class Tenants:
    """Whose clients come by the authority ``root``, and who is somebody else."""

    catalog: WholeCatalog
    theirs: Instance
    mine: Instance
    root: Identity

    def office(self, grants: Grants | None = None) -> Administration:
        """Of somebody who may everything in ``mine``, and nothing anywhere else."""
        both = (Role.ADMINISTRATOR, Role.SECURITY_OFFICER)
        grants = grants or Grants.of(Grant(role, self.mine.identifier) for role in both)
        return Administration(self.catalog, {}, Administrator("person-eve", grants=grants), lambda: NOW * 1000)

    def pin(self, pem: bytes) -> ClientCertificate:
        return read(pem, instance=self.mine.identifier, at=NOW).certificate

    def anchor(self, pem: bytes, instance: Instance | None = None, **patterns: str) -> TrustedAuthority:
        return read_authority(pem, instance or self.mine, Terms(**patterns), at=NOW).authority

    async def let_in(self, who: Identity) -> None:
        """It has come by the authority."""
        seen = SeenCertificate(
            fingerprint=who.fingerprint,
            der=who.der,
            subject="",
            address="192.0.2.1",
            reason="",
            first_at=NOW,
            last_at=NOW,
            count=1,
            instance=self.theirs.identifier,
            authority=self.root.fingerprint,
        )
        await self.catalog.commit(Unit(entries=(), admissions=AdmissionChanges(seen=(seen,))))


@pytest.fixture(params=list(Algorithm))
async def tenants(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Tenants]:
    """The other one trusts its authority, for names of its own."""
    async with open_face(tmp_path) as face:
        root = authority("their root", request.param)
        found = Tenants(face.catalog, await face.instance("theirs"), await face.instance("mine"), root)
        await authorities.trust(
            found.office(EVERYTHING), found.anchor(root.pem, found.theirs, subject_pattern="CN=esx*")
        )
        yield found


async def test_nobody_pins_a_client_of_anothers_authority(tenants: Tenants) -> None:
    """A pin wins over an authority: the client would make its keys where somebody else reads them."""
    direct = client(tenants.root, "esx1")
    below = issue("issuing", issuer=tenants.root, extensions=[CA])
    indirect = client(below, "esx2")
    await tenants.let_in(indirect)

    for each in (direct, indirect):
        with pytest.raises(CertificateElsewhere, match="another instance"):
            await admissions.add(tenants.office(), tenants.pin(each.pem))
    await admissions.add(tenants.office(), tenants.pin(client(tenants.root, "vc").pem))
    await admissions.add(tenants.office(), tenants.pin(client(name="esx1").pem))
    await admissions.add(tenants.office(EVERYTHING), tenants.pin(direct.pem))


async def test_no_key_managers_api_does_it_either(tenants: Tenants) -> None:
    """Whoever calls it has rights of the key manager's, which are none over the instances of others."""
    rooms = Rooms(catalog=tenants.catalog, key_managers={}, clock=lambda: NOW * 1000)
    adapters = Adapters(rooms, "another", Administrator("iam-ServiceId-1"))

    with pytest.raises(CertificateElsewhere):
        await adapters.add_certificate(tenants.pin(client(tenants.root, "esx1").pem))


async def test_nobody_trusts_anothers_authority(tenants: Tenants) -> None:
    """Its clients would be let in by two, and so by none. Neither itself, nor above, nor below it, nor made anew."""
    above = authority("above")
    crossed = issue("their root", issuer=above, extensions=[CA])
    below = issue("issuing", issuer=tenants.root, extensions=[CA])
    deep = issue("deep", issuer=below, extensions=[CA])
    await tenants.let_in(client(deep, "esx3"))

    for each in (tenants.root, below, deep):
        with pytest.raises(CertificateElsewhere, match="clients of another instance"):
            await authorities.trust(tenants.office(), tenants.anchor(each.pem, subject_pattern="CN=vc*"))
    await authorities.trust(tenants.office(), tenants.anchor(crossed.pem))
    await authorities.trust(tenants.office(EVERYTHING), tenants.anchor(tenants.root.pem, subject_pattern="CN=vc*"))


def test_a_mail_address_is_no_host() -> None:
    """Who has a certificate for mail of the same domain is not let in as one of its machines."""
    mail = issue("x", extensions=[(x509.SubjectAlternativeName([x509.RFC822Name("eve@example.com")]), False)])
    host = issue("x", extensions=[(x509.SubjectAlternativeName([x509.DNSName("vc.example.com")]), False)])

    assert [fits_one_name("*example.com", each.certificate) for each in (mail, host)] == [False, True]
    assert [fits_one_name("*@example.com", each.certificate) for each in (mail, host)] == [True, False]
