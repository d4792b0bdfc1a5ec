"""Opens wrapped keys that the catalog does not know, each by what its own header says, with nothing kept in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Home
from keyrack.domain.secret import Secret
from keyrack.ports.key_manager import KeyManagerRefused, Reason
from keyrack.service.copies.copies import Copy
from keyrack.service.copies.recovered import is_wrapping_key
from keyrack.service.copies.sorting import Copies
from keyrack.service.vault.wrapping import Wrapping

_NOBODY = frozenset({Reason.IDENTITY, Reason.NETWORK})
"""Refusals that would meet every other key as well."""


@dataclass(frozen=True, slots=True)
class OpenWrappingKey:
    """A wrapping key, open, and the copy that gave it; whoever has it wipes it."""

    copy: Copy
    secret: Secret


class Opening:
    """Opens copies, and tells how the catalog may keep them."""

    def __init__(self, wrapping: Wrapping, *, accepts_any_mac: bool = False) -> None:
        """With ``accepts_any_mac`` what opens is authenticated anew; it then has to be opened."""
        self._wrapping = wrapping
        self.accepts_any_mac = accepts_any_mac

    def is_authentic(self, copy: Copy) -> bool:
        """Whether this deployment's integrity root has authenticated it."""
        return copy.blob is not None and self._wrapping.is_authentic(copy.blob)

    def check(self, copy: Copy) -> None:
        """Raise ``CryptographicFailure`` for a MAC that is neither this deployment's nor to be made anew."""
        if not self.accepts_any_mac and not self.is_authentic(copy):
            raise CryptographicFailure(
                "its MAC is not one of this deployment's integrity root: it was changed, or made under another one"
            )

    def sealed(self, copy: Copy) -> bytes:
        """The wrapped key as the catalog keeps it: as it is, or of one that was opened, with a MAC of our own."""
        self.check(copy)
        return copy.payload if self.is_authentic(copy) else self._wrapping.authenticated_anew(copy.wrapped)

    async def open(self, copy: Copy, under: Mapping[str, OpenWrappingKey]) -> Secret:
        """The material; the caller wipes it. ``under``: open wrapping keys by identifier.

        Raises ``CryptographicFailure`` and the key manager's two failures as they come.
        """
        blob = copy.wrapped
        home = Home(copy.label.key_manager, blob.header.root_key)
        if not blob.header.two_level:
            return await self._wrapping.open(home, blob)
        wrapping_key = under.get(blob.header.root_key)
        if wrapping_key is None:
            raise CryptographicFailure(
                f"it lies under the wrapping key {blob.header.root_key}, which was not found or does not open"
            )
        return await self._wrapping.open(home, blob, (blob.header.root_key, wrapping_key.secret))

    async def first(self, copies: Sequence[Copy], under: Mapping[str, OpenWrappingKey]) -> tuple[Copy, Secret]:
        """The first of several copies of one key that is authentic and opens, and its material.

        Raises ``CryptographicFailure`` with why none does, ``KeyManagerUnavailable``, and ``KeyManagerRefused`` where
        the key manager lets nobody in.
        """
        told: dict[str, None] = {}
        for copy in copies:
            try:
                self.check(copy)
                return copy, await self.open(copy, under)
            except KeyManagerRefused as error:
                if error.reason in _NOBODY:
                    raise
                told[str(error)] = None
            except CryptographicFailure as error:
                told[str(error)] = None
        raise CryptographicFailure("; ".join(told))

    async def wrapping_keys(self, copies: Copies) -> Mapping[str, OpenWrappingKey]:
        """Every wrapping key among them that opens, by identifier; the caller wipes them."""
        opened: dict[str, OpenWrappingKey] = {}
        for unique_identifier, held in copies.items():
            if not is_wrapping_key(held[0].wrapped):
                continue
            try:
                opened[unique_identifier] = OpenWrappingKey(*await self.first(held, {}))
            except CryptographicFailure:
                # Each key that lies under it says so.
                continue
            except BaseException:
                wipe(opened)
                raise
        return opened


def wipe(opened: Mapping[str, OpenWrappingKey]) -> None:
    """Forget the wrapping keys."""
    for each in opened.values():
        each.secret.wipe()
