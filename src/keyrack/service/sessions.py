"""Which instance a client's certificate means: remembered for speed, decided by the catalog in every transaction."""

from dataclasses import dataclass

from keyrack.domain.instances import Instance, Principal
from keyrack.ports.catalog import Catalog, NotAuthorised
from keyrack.service.identity import Peer


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A client and its instance, as they were when last looked up."""

    principal: Principal
    instance: Instance
    initiator: str
    """The journal's name for the client."""


class Sessions:
    """Looks sessions up once; :meth:`forget` makes the next request look again."""

    def __init__(self, catalog: Catalog) -> None:
        """Look sessions up in ``catalog``."""
        self._catalog = catalog
        self._known: dict[str, Session] = {}
        """By fingerprint, of pinned certificates and of others."""

    async def of(self, peer: Peer, now: float) -> Session:
        """The session of a client; raises ``NotAuthorised`` where its certificate is not in force.

        ``now``, in seconds since 1970: where an authority lets it in, each certificate of its chain has to be valid,
        however long the connection has been open.

        What is remembered only chooses the instance to ask about. Whether the certificate is still in force is asked in
        the transaction of each request. A session of a sealed instance is not remembered: whoever unseals the instance
        is heard at the next request.
        """
        session = self._known.get(peer.fingerprint)
        if session is None or (session.principal.authority is not None and not _is_of(session.principal, peer)):
            session = await self._look_up(peer)
            if session.instance.sealed_at is None:
                self._known[peer.fingerprint] = session
        if session.principal.authority is not None:
            admittance = peer.admittance
            if admittance is None or not admittance.since <= now <= admittance.until:
                raise NotAuthorised("a certificate of its chain is expired, or not yet valid")
        return session

    async def again(self, peer: Peer, now: float) -> Session:
        """The session of a client, looked up anew: what is remembered has been found out of date."""
        self.forget(peer.fingerprint)
        return await self.of(peer, now)

    async def _look_up(self, peer: Peer) -> Session:
        fingerprint = peer.fingerprint
        principal = await self._catalog.authorise(fingerprint, peer.admittance)
        instances = {each.identifier: each for each in await self._catalog.instances()}
        return Session(
            principal=principal,
            instance=instances[principal.instance],
            initiator=f"CertificateID-{fingerprint}",
        )

    def forget(self, fingerprint: str | None = None) -> None:
        """Look again at the next request: for one certificate, or for all."""
        if fingerprint is None:
            self._known.clear()
        else:
            self._known.pop(fingerprint, None)


def _is_of(principal: Principal, peer: Peer) -> bool:
    """Whether it is the same act of trust that lets this connection in: another chain may lead to another one."""
    admittance = peer.admittance
    return admittance is not None and admittance.number == principal.trust
