"""What lies in key managers under Keyrack's names, read and taken apart, whoever put it there."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from keyrack.domain.errors import CryptographicFailure
from keyrack.ports.catalog import Catalog
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused
from keyrack.service.copies.each import each
from keyrack.service.moves.walk import Report, silently, things
from keyrack.service.vault import blob as blobs
from keyrack.service.vault.blob import Blob, Malformed
from keyrack.service.vault.standard_keys import PREFIX, unique_identifier_of
from keyrack.service.vault.standing import GONE


@dataclass(frozen=True, slots=True)
class Label:
    """A standard key as a listing shows it."""

    key_manager: str
    """The configured name."""
    identifier: str
    name: str

    @property
    def unique_identifier(self) -> str:
        """Which object it is of, as its name says."""
        return unique_identifier_of(self.name) or ""


@dataclass(frozen=True, slots=True)
class Copy:
    """A standard key that was read."""

    label: Label
    payload: bytes = field(repr=False)
    blob: Blob | None = field(repr=False)
    """``None``: it is not a wrapped key of Keyrack, or not any more."""

    @property
    def damaged(self) -> bool:
        """Whether it begins as a wrapped key of Keyrack, and does not go on as one."""
        return self.blob is None and self.payload.startswith(blobs.MAGIC)

    @property
    def wrapped(self) -> Blob:
        """The wrapped key; raises ``CryptographicFailure`` where it is none."""
        if self.blob is None:
            raise CryptographicFailure("it is not a wrapped key of Keyrack")
        return self.blob

    @property
    def unique_identifier(self) -> str:
        """Which object it is of, as it says itself; as its name says where it is no wrapped key."""
        return self.blob.header.context.unique_identifier if self.blob else self.label.unique_identifier


@dataclass(frozen=True, slots=True)
class Gathered:
    """Everything that was read, in the order of the listing."""

    copies: Sequence[Copy]
    failures: Sequence[tuple[str, str]] = ()
    """Names of standard keys that could not be read, each with why."""
    stopped: bool = False
    """The key manager failed so often in a row that the rest was not read."""


async def labels(key_managers: Mapping[str, KeyManager]) -> Sequence[Label]:
    """One listing of each key manager; raises the port's two failures."""
    return [
        Label(name, standard_key.identifier, standard_key.name)
        for name, manager in key_managers.items()
        async for standard_key in manager.list_standard_keys(PREFIX)
    ]


async def gather(
    key_managers: Mapping[str, KeyManager],
    listed: Sequence[Label],
    *,
    report: Report = silently,
    rate: float | None = None,
) -> Gathered:
    """The payloads of what was listed; what is gone since then is left out."""
    copies: dict[int, Copy] = {}

    async def act(numbered: tuple[int, Label]) -> bool:
        number, label = numbered
        copy = await _copy(key_managers[label.key_manager], label)
        if copy is not None:
            copies[number] = copy
        return True

    outcome = await each(
        list(enumerate(listed)), act, called=lambda numbered: numbered[1].name, report=report, rate=rate
    )
    return Gathered([copies[number] for number in sorted(copies)], outcome.failures, outcome.stopped)


async def _copy(manager: KeyManager, label: Label) -> Copy | None:
    try:
        payload = (await manager.get_standard_key(label.identifier)).payload
    except KeyManagerRefused as error:
        if error.reason in GONE:
            return None
        raise
    try:
        return Copy(label, payload, blobs.parse(payload))
    except Malformed:
        return Copy(label, payload, None)


async def belonging(catalog: Catalog) -> Collection[str]:
    """The identifiers of every standard key of which the catalog knows whose it is, leftovers too."""
    known = {leftover.standard_key for leftover in await catalog.leftovers()}
    for instance in await catalog.instances():
        async for thing in things(catalog, instance):
            if thing.standard_key is not None:
                known.add(thing.standard_key)
    return known
