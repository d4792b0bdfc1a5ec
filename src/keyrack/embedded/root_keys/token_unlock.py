"""An HSM that opens a keystore: the keystore's master key is sealed by a key that never leaves the HSM."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from keyrack.domain.secret import Secret, randomize
from keyrack.embedded.errors import KeystoreDamaged, KeystoreLocked, UnprocessableCiphertext
from keyrack.embedded.root_keys.port import Enciphered, Keeper, VersionName

MASTER_KEY = 32
_BOUND = b"keyrack keystore master key v2"


@dataclass(frozen=True, slots=True)
class TokenUnlock:
    """Whoever has the keystore, the token and its PIN has the root keys; the keystore alone is of no use.

    The sealing key has the label ``keyrack keystore`` in the token, and its own random identifier.
    """

    keeper: Keeper
    """The token's; it stays the caller's, who closes it."""
    kind: str = field(default="hsm", init=False)

    def prepare(self) -> Mapping[str, Any]:
        """Make the sealing key in the HSM, and a new master key sealed under it. Raises ``KeeperUnavailable``."""
        identifier = str(uuid.uuid4())
        material = bytearray(MASTER_KEY)
        randomize(material)
        with Secret(material) as master:
            kept = self.keeper.generate(_name(identifier))
            sealed = self.keeper.encipher(_name(identifier), kept, master, _BOUND)
        return {"key": identifier, "iv": sealed.iv.hex(), "sealed": sealed.ciphertext.hex()}

    def master_key(self, parameters: Mapping[str, Any]) -> Secret:
        """Let the HSM open it. Raises ``KeeperUnavailable``, and ``KeystoreLocked`` where it is another HSM's."""
        name, sealed = _read(parameters)
        try:
            master = self.keeper.decipher(name, b"", sealed, _BOUND)
        except UnprocessableCiphertext:
            raise KeystoreLocked("the HSM's key does not open this keystore: it belongs to another one") from None
        except KeystoreDamaged as error:
            raise KeystoreLocked(str(error)) from None
        if len(master) != MASTER_KEY:
            master.wipe()
            raise KeystoreDamaged("the master key that the HSM opens is of another length")
        return master


def _name(identifier: str) -> VersionName:
    return VersionName(instance=identifier, key="keystore", version=identifier)


def _read(parameters: Mapping[str, Any]) -> tuple[VersionName, Enciphered]:
    try:
        name = _name(str(uuid.UUID(parameters["key"])))
        return name, Enciphered(bytes.fromhex(parameters["iv"]), bytes.fromhex(parameters["sealed"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise KeystoreDamaged("what it says of the HSM cannot be read: restore it from a backup") from None
