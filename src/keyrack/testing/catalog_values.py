"""Plain values for tests of catalogs: two instances, a certificate, keys, entries."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Principal, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.objects import Form, Indexed, ManagedObject
from keyrack.spec.enumerations import KeyFormatType, NameType, ObjectType, State
from keyrack.spec.structures import Name

ONE: Final = "11111111-1111-4111-8111-111111111111"
TWO: Final = "22222222-2222-4222-8222-222222222222"
FINGERPRINT: Final = "a" * 64
KEY: Final = "00000000-0000-4000-8000-000000000001"
OTHER_KEY: Final = "00000000-0000-4000-8000-000000000002"


def entry(action: str = "Get", **changes: Any) -> Entry:
    """A journal entry."""
    fields: dict[str, Any] = {
        "at": 1_700_000_000_000,
        "action": action,
        "outcome": "success",
        "initiator": f"CertificateID-{FINGERPRINT}",
        "address": "192.0.2.1:4711",
        "instance": ONE,
        "target": KEY,
        "detail": {"kmip": "1.4"},
    }
    return Entry(**fields | changes)


def instance(identifier: str = ONE, name: str = "one", status: InstanceStatus = InstanceStatus.INSTALLED) -> Instance:
    """An instance that serves."""
    return Instance(
        identifier=identifier,
        name=name,
        status=status,
        key_manager="embedded",
        root_key="root",
        storage=Storage.CATALOG,
        created_at=1_700_000_000,
        created_by="local-user-eve",
        description="for tests",
        updated_at=1_700_000_001,
        updated_by="local-user-ann",
    )


def certificate(fingerprint: str = FINGERPRINT, of: str = ONE) -> ClientCertificate:
    """A client certificate of an instance."""
    return ClientCertificate(
        fingerprint=fingerprint,
        instance=of,
        subject="CN=vcenter",
        not_before=1_600_000_000,
        not_after=1_900_000_000,
        der=b"\x30\x00",
        added_at=1_700_000_000,
        added_by="iam-ServiceId-1",
        name=f"vcenter-{fingerprint[:8]}",
    )


def key(
    identifier: str = KEY,
    of: str = ONE,
    attributes: Mapping[str, Any] = MappingProxyType({}),
    *,
    date: int = 1_700_000_000,
    **more: Any,
) -> ManagedObject:
    """An active symmetric key; further attributes by name, with one value each."""
    held = {"Initial Date": date, **attributes, **more}
    return ManagedObject(
        unique_identifier=identifier,
        instance=of,
        object_type=ObjectType.SYMMETRIC_KEY,
        state=State.ACTIVE,
        attributes={name: (Indexed(0, value),) for name, value in held.items()},
        form=Form(key_format_type=KeyFormatType.RAW),
        sealed=b"sealed " + identifier.encode(),
    )


def named(text: str) -> Name:
    """A Name."""
    return Name(name_value=text, name_type=NameType.UNINTERPRETED_TEXT_STRING)


PRINCIPAL: Final = Principal(fingerprint=FINGERPRINT, instance=ONE)


def numbered(number: int) -> str:
    """A Unique Identifier made of a number."""
    return f"00000000-0000-4000-8000-{number:012x}"
