"""Binds Keyrack's instances to the API as KMIP adapters: whose they are, and what a refusal of theirs is called."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from keyrack.embedded.call import Call
from keyrack.embedded.errors import (
    AdapterDuplicateName,
    AdapterHasObjects,
    AdapterNotFound,
    AdapterQuota,
    CertificateDuplicate,
    CertificateDuplicateName,
    CertificateNotFound,
    CertificateQuota,
    CertificateReuse,
    Contradiction,
    KeystoreError,
    KmipObjectInvalidState,
    KmipObjectNotFound,
    Refusal,
)
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.key_manager import KeyManagerUnavailable
from keyrack.service.office.adapters import Adapters
from keyrack.service.office.administration import (
    Administrator,
    CertificateElsewhere,
    CertificateThere,
    LimitReached,
    NameTaken,
    NotThere,
    Refused,
)
from keyrack.service.office.removal import InUse, NotDestroyable
from keyrack.shell.rest.key_protect.premises import Premises


def adapters_for(premises: Premises, call: Call) -> Adapters:
    """The KMIP adapters of the instance that a call names, in the hands of whoever makes it."""
    if premises.rooms is None:
        raise AdaptersUnavailable("this process has no catalog: it serves no KMIP adapters")
    administrator = Administrator(call.caller.identity, call.address, call.correlation)
    return Adapters(premises.rooms, premises.name_of(call.instance), administrator)


class AdaptersUnavailable(KeystoreError):
    """The catalog, or the key manager behind it, cannot do it now."""


@dataclass(frozen=True, slots=True)
class Noun:
    """What refusals are called that may be about different things."""

    missing: type[Refusal]
    taken: type[Refusal] = Contradiction
    full: type[Refusal] = Contradiction


ADAPTER: Final = Noun(AdapterNotFound, AdapterDuplicateName, AdapterQuota)
CERTIFICATE: Final = Noun(CertificateNotFound, CertificateDuplicateName, CertificateQuota)
OBJECT: Final = Noun(KmipObjectNotFound)

KINDS: Final[Mapping[type[Refused], type[Refusal]]] = {
    CertificateThere: CertificateDuplicate,
    CertificateElsewhere: CertificateReuse,
    InUse: AdapterHasObjects,
    NotDestroyable: KmipObjectInvalidState,
    Refused: Contradiction,
}
WORDS: Final[Mapping[type[Refused], str]] = {
    # Whose it is, is the business of another tenant.
    CertificateElsewhere: "Another KMIP adapter has this certificate, and a certificate means one adapter only: make "
    "another one, or delete it there first",
    CertificateThere: "The KMIP adapter has this certificate already",
    NameTaken: "The name is taken: choose another one",
    InUse: "The KMIP adapter has objects that are not destroyed: delete them first",
}
"""Where the text of the refusal is for those who work at the machine."""


@contextmanager
def refusing(noun: Noun) -> Iterator[None]:
    """Make what the adapters refuse a refusal of the API, keeping the cause."""
    kinds = {**KINDS, NotThere: noun.missing, NameTaken: noun.taken, LimitReached: noun.full}
    try:
        yield
    except Refused as error:
        kind = next(each for each in type(error).__mro__ if each in kinds)
        raise kinds[kind](WORDS.get(kind) or _sentence(str(error))) from error
    except (CatalogUnavailable, KeyManagerUnavailable) as error:
        raise AdaptersUnavailable(str(error)) from error


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
