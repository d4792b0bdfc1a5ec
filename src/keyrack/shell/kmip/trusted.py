"""Who is let in, in memory for handshakes and kept fresh from the catalog: pinned certificates, and authorities."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from keyrack.domain.instances import Admittance, Instance, TrustedAuthority
from keyrack.ports.catalog import Catalog, CatalogUnavailable
from keyrack.shell.kmip.anchors import Anchors
from keyrack.shell.kmip.verdicts import NotAdmitted

log = logging.getLogger(__name__)

LOOK_EVERY: Final = 0.25
"""Seconds between two looks at the catalog's generation: a change made by any process counts well within a second."""

Changed = Callable[[frozenset[str]], Awaitable[None]]
"""Told after each change, with the fingerprints that are in force no more."""


class Trusted:
    """Implements ``shell.tls.Trust`` and ``shell.tls.Authorities``.

    It only opens the door: each request is authorised by the catalog as well.
    """

    def __init__(self, catalog: Catalog) -> None:
        """Know nobody until :meth:`refresh`."""
        self._catalog = catalog
        self._generation = -1
        self._known: frozenset[str] = frozenset()
        self._pinned: frozenset[str] = frozenset()
        self._owners: Mapping[str, str] = {}
        self._serving: Mapping[str, Instance] = {}
        self._trust: tuple[Sequence[TrustedAuthority], Sequence[tuple[str, str]]] = ((), ())
        self._anchors = Anchors()

    @property
    def owners(self) -> Mapping[str, str]:
        """Identifiers of instances by the fingerprints of certificates that are pinned for them and in force."""
        return self._owners

    @property
    def serving(self) -> Mapping[str, Instance]:
        """Instances that serve and are not sealed, by identifier."""
        return self._serving

    @property
    def generation(self) -> int:
        """The catalog's generation at the last look."""
        return self._generation

    def known(self, fingerprint: str) -> bool:
        """Whether this certificate is in force, as far as the last look has shown."""
        return fingerprint in self._known

    def any(self) -> bool:
        """Whether an authority is trusted by an instance that serves."""
        return bool(self._anchors)

    def admit(self, fingerprint: str, leaf: bytes, sent: Sequence[bytes]) -> Admittance:
        """By which authority a client is let in; raises ``NotAdmitted``. A pin wins always."""
        if fingerprint in self._pinned:
            raise NotAdmitted("it is pinned for an instance that does not serve now")
        return self._anchors.admit(fingerprint, leaf, sent)

    def __len__(self) -> int:
        return len(self._known)

    async def refresh(self) -> frozenset[str] | None:
        """Look; what is in force no more, or ``None`` where nothing has changed."""
        generation = await self._catalog.generation()
        if generation == self._generation:
            return None
        serving = {instance.identifier: instance for instance in await self._catalog.instances() if instance.serves}
        held = await self._catalog.certificates()
        authorities = [each for each in await self._catalog.authorities() if each.instance in serving]
        trust = (authorities, await self._catalog.barred())
        if trust != self._trust:
            self._anchors, self._trust = Anchors(*trust), trust
        before, self._known = self._known, frozenset(each.fingerprint for each in held if each.instance in serving)
        self._pinned = frozenset(each.fingerprint for each in held)
        self._owners = {each.fingerprint: each.instance for each in held if each.instance in serving}
        self._serving = {name: each for name, each in serving.items() if each.sealed_at is None}
        self._generation = generation
        return before - self._known

    async def watch(self, changed: Changed) -> None:
        """Look for ever. While the catalog cannot be read, what was last seen stays, and each request is refused."""
        answering = True
        while True:
            await self._catalog.news(LOOK_EVERY)
            try:
                gone = await self.refresh()
                if not answering:
                    log.warning("the catalog can be read again")
                answering = True
            except CatalogUnavailable as error:
                if answering:
                    log.error("the catalog cannot be read: %s", error)
                answering = False
                continue
            if gone is not None:
                log.info("certificates changed", extra={"in_force": len(self._known), "removed": len(gone)})
                await changed(gone)
