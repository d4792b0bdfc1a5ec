"""A whole Keyrack in one process, without TLS: catalog, key manager, vault and desk, and clients that ask it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import keyrack.operations  # noqa: F401 - enters the verbs into the registry
from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.memory import MemoryKeyManager
from keyrack.adapters.memory import MemoryCatalog
from keyrack.domain.instances import ClientCertificate, Instance, InstanceStatus, Storage
from keyrack.domain.journal import Entry
from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.operations._registry import OPERATIONS
from keyrack.ports.catalog import Catalog, Unit
from keyrack.ports.key_manager import RootKeyAdministration
from keyrack.service.batch import Desk
from keyrack.service.identity import Peer
from keyrack.service.vault.envelope import Vault
from keyrack.spec.enumerations import Operation, ResultReason, ResultStatus
from keyrack.spec.versions import V1_4, ProtocolVersion
from keyrack.testing.catalogs import catalog_at
from keyrack.testing.newness import newer
from keyrack.wire.messages import (
    RequestBatchItem,
    RequestHeader,
    RequestMessage,
    ResponseBatchItem,
    decode_payload,
    read_response,
    write_request,
)


class Refused(Exception):
    """A batch item that failed."""

    def __init__(self, item: ResponseBatchItem) -> None:
        """Keep what the server said."""
        super().__init__(item.result_message)
        self.reason: ResultReason | int | None = item.result_reason
        self.message = item.result_message


class Clock:
    """A clock that stands still until it is told to go on."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        """Begin at ``now``, seconds since 1970."""
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now


@dataclass(slots=True)
class House:
    """The assembled rooms; ``ask`` goes through real bytes, as a client's request does."""

    catalog: Catalog
    key_manager: RootKeyAdministration
    vault: Vault
    desk: Desk
    clock: Clock
    peers: dict[str, Peer] = field(default_factory=dict)

    async def admit(self, name: str, *, storage: Storage = Storage.CATALOG) -> Instance:
        """Make an instance with a root key and one client, all called ``name``."""
        root_key = await self.key_manager.create_root_key(f"{name} root key")
        instance = Instance(
            identifier=f"instance-{name}",
            name=name,
            status=InstanceStatus.INSTALLED,
            key_manager="embedded",
            root_key=root_key.identifier,
            storage=storage,
            created_at=int(self.clock()),
        )
        fingerprint = sha256(name.encode()).hexdigest()
        certificate = ClientCertificate(
            fingerprint=fingerprint,
            instance=instance.identifier,
            subject=f"CN={name}",
            not_before=0,
            not_after=2**33,
            der=name.encode(),
            added_at=int(self.clock()),
        )
        entry = Entry(at=0, action="instance.create", outcome="success", initiator="local-user-test", address="local")
        await self.catalog.commit(Unit(entries=(entry,), instances=(instance,), certificates=(certificate,)))
        self.peers[name] = Peer(fingerprint=fingerprint, address="127.0.0.1:1", tls="TLSv1.3")
        return instance

    async def batch(
        self,
        payloads: Sequence[tuple[Operation, Any]],
        *,
        version: ProtocolVersion = V1_4,
        who: str = "a",
        **more: Any,
    ) -> list[ResponseBatchItem]:
        """Send one message and read its answer, whose payloads are decoded; ``more`` as for :func:`frame_of`."""
        return read_items(await self.said(frame_of(payloads, version=version, **more), who, version))

    async def said(self, frame: bytes, who: str = "a", version: ProtocolVersion = V1_4) -> bytes:
        """The answer to a frame, byte for byte; it must be in ``version`` and say nothing that is newer."""
        answer = await self.desk.answer(frame, self.peers[who])
        if answer is None:
            raise AssertionError("the desk closes the connection")
        found = newer(bytes(answer), version)
        if found or read_response(answer).protocol_version != version:
            raise AssertionError(f"an answer in {version} says too much: {found}")
        return bytes(answer)

    async def ask(
        self, operation: Operation, payload: Any, *, version: ProtocolVersion = V1_4, who: str = "a", **more: Any
    ) -> Any:
        """Send one item and answer its payload; raises :class:`Refused`."""
        (item,) = await self.batch([(operation, payload)], version=version, who=who, **more)
        if item.result_status != ResultStatus.SUCCESS:
            raise Refused(item)
        return item.response_payload


def frame_of(
    payloads: Sequence[tuple[Operation | int, Any]],
    *,
    version: ProtocolVersion = V1_4,
    claimed: ProtocolVersion | None = None,
    ids: bool = True,
    **header: Any,
) -> bytes:
    """A request message; ``header`` are further fields of its header.

    ``claimed`` is a version to name in the place of the one that it is written in: so newer things get into older
    messages, and messages of versions that nobody speaks are made.
    """
    items = tuple(
        RequestBatchItem(
            operation=operation,
            unique_batch_item_id=number.to_bytes(8, "big") if ids else None,
            request_payload=payload,
        )
        for number, (operation, payload) in enumerate(payloads, 1)
    )
    written = RequestHeader(protocol_version=version, batch_count=len(items), **header)
    frame = write_request(RequestMessage(request_header=written, batch_items=items))
    frame[_MAJOR], frame[_MINOR] = claimed or version
    return bytes(frame)


_MAJOR, _MINOR = 35, 51
"""Where the last bytes of the Protocol Version's two numbers are in a message."""


def read_items(answer: bytes) -> list[ResponseBatchItem]:
    """The batch items of an answer, with their payloads decoded."""
    message = read_response(answer)
    return [_decoded(item, message.protocol_version) for item in message.batch_items]


def _decoded(item: ResponseBatchItem, version: ProtocolVersion) -> ResponseBatchItem:
    if item.response_payload is None or item.operation is None:
        return item
    payload: Any = decode_payload(OPERATIONS[item.operation].response, item.response_payload, version)
    return ResponseBatchItem(
        operation=item.operation,
        unique_batch_item_id=item.unique_batch_item_id,
        result_status=item.result_status,
        result_reason=item.result_reason,
        result_message=item.result_message,
        response_payload=payload,
    )


@asynccontextmanager
async def open_house(directory: Path) -> AsyncIterator[House]:
    """A house with its files in ``directory`` and no instance yet."""
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    key_manager = EmbeddedKeyManager.create(directory / "keystore", unlock)
    catalog = await catalog_at(directory / "catalog.sqlite", "kmip-0")
    vault = Vault({"embedded": key_manager}, key_manager.integrity_root(), "deployment")
    clock = Clock()
    try:
        yield House(catalog, key_manager, vault, Desk(catalog, vault, clock=clock), clock)
    finally:
        vault.close()
        await catalog.close()
        await key_manager.close()


def memory_house(catalog: Catalog | None = None) -> House:
    """A house without a disk, but for the ``catalog`` that is given: quicker, by the same contracts."""
    key_manager, catalog, clock = MemoryKeyManager(), catalog or MemoryCatalog(), Clock()
    root = Secret(bytearray(b"integrity root" * 3))
    vault = Vault({"embedded": key_manager}, root, "deployment", wrapping_keys=catalog.wrapping_key)
    return House(catalog, key_manager, vault, Desk(catalog, vault, clock=clock), clock)
