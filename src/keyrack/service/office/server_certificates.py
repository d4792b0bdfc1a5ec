"""What the journal is told of the server's own certificate, and who may change it."""

from typing import Final

from keyrack.domain.rights import Right
from keyrack.service.office.administration import Administration
from keyrack.service.office.expiry import ServerCertificate

ACTIONS: Final = frozenset({"server-certificate.renew", "server-certificate.install"})


def require_change(administration: Administration) -> None:
    """Raise ``Forbidden`` where whoever acts may not change the server's certificate."""
    administration.require(Right.SERVER_CHANGE)


def require_replacement(administration: Administration) -> None:
    """Raise ``Forbidden`` where whoever acts may not replace it, and ``ProofNeeded`` where the last proof that somebody
    is there is too old: vCenter refuses the server until it trusts the next one, and hosts that restart get no key."""
    require_change(administration)
    administration.require_proof("replace the server's certificate")


async def written_down(
    administration: Administration, action: str, before: ServerCertificate, new: ServerCertificate
) -> None:
    """The certificate was replaced; ``action``: one of :data:`ACTIONS`."""
    require_change(administration)
    detail: dict[str, str | int] = {
        "subject": new.subject[:200],
        "not_after": new.not_after,
        "before": before.fingerprint,
    }
    await administration.commit(action, "", new.fingerprint, detail)


async def requested(administration: Administration) -> None:
    """A key was made, and a request for it."""
    require_change(administration)
    await administration.commit("server-certificate.request", "", "", {})
