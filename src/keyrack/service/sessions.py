"""Which instance a client's certificate means: remembered for speed, decided by the catalog in every transaction."""

from dataclasses import dataclass

from keyrack.domain.instances import Instance, Principal
from keyrack.ports.catalog import Catalog
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

    async def of(self, peer: Peer) -> Session:
        """The session of a client; raises ``NotAuthorised`` where its certificate is not in force.

        What is remembered only chooses the instance to ask about. Whether the certificate is still in force is asked in
        the transaction of each request. A session of a sealed instance is not remembered: whoever unseals the instance
        is heard at the next request.
        """
        session = self._known.get(peer.fingerprint)
        if session is None:
            session = await self._look_up(peer.fingerprint)
            if session.instance.sealed_at is None:
                self._known[peer.fingerprint] = session
        return session

    async def again(self, peer: Peer) -> Session:
        """The session of a client, looked up anew: what is remembered has been found out of date."""
        self.forget(peer.fingerprint)
        return await self.of(peer)

    async def _look_up(self, fingerprint: str) -> Session:
        principal = await self._catalog.authorise(fingerprint)
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
