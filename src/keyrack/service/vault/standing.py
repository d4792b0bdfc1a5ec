"""Whether an object's standard key stands: who deletes it in the key manager has revoked the key, and nothing undoes
that but to restore it there."""

from typing import Protocol

from keyrack.domain.errors import CryptographicFailure
from keyrack.domain.instances import Home
from keyrack.ports.key_manager import KeyManager, KeyManagerRefused, KeyManagerUnavailable, Reason
from keyrack.service.vault.blob import MAC, Blob
from keyrack.service.vault.homes import Homes, cause_of, unanswered
from keyrack.service.vault.wrapping import Wrapping

GONE = frozenset({Reason.ABSENT, Reason.DELETED})
"""Reasons of a refusal that say that the standard key is not there any more."""


class Revoked(CryptographicFailure):
    """The standard key was deleted in the key manager."""


class Kept(Protocol):
    """What may have a standard key."""

    @property
    def instance(self) -> str:
        """Whose it is."""
        ...

    @property
    def sealed(self) -> bytes | None:
        """The wrapped key in the catalog."""
        ...

    @property
    def standard_key(self) -> str | None:
        """The identifier of its copy in the key manager."""
        ...


async def assure(homes: Homes, wrapping: Wrapping, kept: Kept, blob: Blob, home: Home) -> None:
    """Return if the standard key is in ``home`` and holds the key of ``blob``, or if there is to be none.

    Raises :class:`Revoked`, and ``CryptographicFailure`` or ``GeneralFailure`` for every other answer.
    """
    if kept.standard_key is None:
        return
    try:
        payload = (await homes.manager(home.key_manager).get_standard_key(kept.standard_key)).payload
    except KeyManagerRefused as error:
        raise _refusal(error) from error
    except KeyManagerUnavailable as error:
        raise unanswered(home, error) from error
    if kept.sealed is not None and payload[:-MAC] == kept.sealed[:-MAC]:
        return  # The MAC alone may differ: after a rebuild without the integrity root it is made anew.
    other = wrapping.verified(kept.instance, payload)
    # After a rewrap one copy may be a generation behind; what it is of must be the same.
    if other.key != blob.key:
        raise CryptographicFailure("the copy in the key manager is of another key than the one in the catalog")


async def confirm(manager: KeyManager, home: Home) -> None:
    """Return if the key manager knows the root key of ``home``, be it disabled or deleted: only then is a standard key
    that it does not have one that was deleted.

    Another instance or region than was meant, as a changed configuration names it, has none of them, and nobody has
    revoked anything. Raises ``KeyManagerRefused`` for that, and ``KeyManagerUnavailable``.
    """
    try:
        await manager.describe_root_key(home.root_key)
    except KeyManagerRefused as error:
        if error.reason is Reason.DELETED:
            return
        raise KeyManagerRefused(
            f"the key manager {home.key_manager} has neither the standard key nor the root key {home.root_key}; nothing"
            f" counts as deleted there; is another instance or region configured than was meant? ({error})",
            # Not one key's matter, whatever was answered.
            Reason.PERMISSION,
            code=error.code,
        ) from error


def _refusal(error: KeyManagerRefused) -> CryptographicFailure:
    if error.reason in GONE:
        failure: CryptographicFailure = Revoked(f"the key was revoked in the key manager: {error}")
    else:
        failure = CryptographicFailure(f"the standard key cannot be read: {error}")
    failure.cause = cause_of(error)
    return failure
