"""IBM Hyper Protect Crypto Services (HPCS): the API of Key Protect, with some manners of its own."""

from collections.abc import Sequence
from typing import ClassVar, Final

from keyrack.adapters.key_managers.ibm import imports
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import Settings
from keyrack.domain.secret import Secret, randomize
from keyrack.ports.key_manager import KeyManagerRefused, Reason, Wrapped

_ONE: Final = ("keyrack binding", "one")
_OTHER: Final = ("keyrack binding", "other")


class Hpcs(KeyProtect):
    """Key Protect's powers, and ``TellsBinding``: its documents do not say whether it binds a ciphertext to strings."""

    manner: ClassVar = imports.OF_HPCS
    product: ClassVar = "Hyper Protect Crypto Services"
    default_ring_only: ClassVar = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._binding: dict[str, bool] = {}

    async def binds(self, root_key: str) -> bool:
        """Whether a ciphertext opens under its own strings alone; found out once for each root key in a process."""
        if root_key not in self._binding:
            self._binding[root_key] = await self._try_binding(root_key)
        return self._binding[root_key]

    async def _try_binding(self, root_key: str) -> bool:
        with Secret(bytearray(32)) as canary:
            randomize(canary.reveal())
            try:
                wrapped = await self.wrap(root_key, canary, _ONE)
            except KeyManagerRefused as refusal:
                if refusal.reason is not Reason.REQUEST:
                    raise
                # It knows no such field. That it wraps without one must be seen all the same.
                await self.wrap(root_key, canary, ())
                return False
            return not await self._opens(root_key, wrapped, _OTHER) and await self._opens(root_key, wrapped, _ONE)

    async def _opens(self, root_key: str, wrapped: Wrapped, aad: Sequence[str]) -> bool:
        try:
            (await self.unwrap(root_key, wrapped.ciphertext, aad)).plaintext.wipe()
        except KeyManagerRefused as refusal:
            if refusal.reason is not Reason.CIPHERTEXT:
                raise
            return False
        return True
