"""Who may have the metrics, and all of them together: of serving processes, of the deployment, of the web process."""

import hmac
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from prometheus_client.core import Metric

from keyrack.ports.back_office import BackOffice, BackOfficeUnavailable
from keyrack.ports.catalog import CatalogUnavailable
from keyrack.ports.whole_catalog import WholeCatalog
from keyrack.service.metering import OTHER, Spread
from keyrack.shell.config.telemetry import Metrics
from keyrack.shell.config.whole import Config
from keyrack.shell.metrics.deployment import DeploymentNumbers
from keyrack.shell.metrics.serving import put_process
from keyrack.shell.metrics.sheet import Sheet, exposed, merged

log = logging.getLogger(__name__)

SHORTEST_TOKEN: Final = 20
"""Characters of a token in a file; a shorter one lets nobody in."""
MOST_ROUTES: Final = 500
"""Combinations of method, route and status that are told apart."""


@dataclass(slots=True)
class WebMeter:
    """What the web process counts of its own."""

    requests: dict[tuple[str, str, str], int] = field(default_factory=dict)
    seconds: Spread = field(default_factory=Spread)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered; ``route`` is the pattern of its path, empty where there is none of it."""
        kind = (method if method in _METHODS else OTHER, route or OTHER, str(status))
        if kind not in self.requests and len(self.requests) >= MOST_ROUTES:
            kind = (OTHER, OTHER, str(status))
        self.requests[kind] = self.requests.get(kind, 0) + 1
        self.seconds.add(seconds)

    def put(self, sheet: Sheet) -> None:
        """Write it down."""
        for (method, route, status), number in self.requests.items():
            sheet.put("keyrack_web_requests_total", number, method=method, route=route, status=status)
        sheet.spread("keyrack_web_request_seconds", self.seconds)


_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True, kw_only=True)
class Scrape:
    """Answers a scrape."""

    table: Metrics
    token_file: Path | None
    back_office: BackOffice
    deployment: DeploymentNumbers
    meter: WebMeter

    @classmethod
    def of(cls, config: Config, catalog: WholeCatalog, back_office: BackOffice, meter: WebMeter) -> "Scrape":
        """As the configuration says."""
        table = config.metrics
        numbers = DeploymentNumbers(
            catalog=catalog,
            server_certificate=config.path(config.kmip.certificate),
        )
        return cls(
            table=table,
            token_file=None if table.token_file is None else config.path(table.token_file),
            back_office=back_office,
            deployment=numbers,
            meter=meter,
        )

    def allows(self, address: str, token: str) -> bool:
        """Whether somebody at this address, or with this token, may have them without being a person's program."""
        return _is_in(address, self.table) or self._is_token(token)

    async def text(self) -> str:
        """Everything, in the text form of Prometheus. What cannot be asked is left out, and told by its absence."""
        families: list[Metric] = []
        own = Sheet("web")
        put_process(own)
        self.meter.put(own)
        texts = [own.text(), await self._told(own)]
        families += merged(texts)
        try:
            families += (await self.deployment.sheet()).families()
        except CatalogUnavailable as error:
            log.warning("metrics of the deployment are left out: %s", error)
        return exposed(_once(families))

    async def _told(self, own: Sheet) -> str:
        """What serving processes have counted."""
        up = Sheet()
        try:
            told = await self.back_office.metrics()
        except BackOfficeUnavailable:
            told = ""
        up.put("keyrack_back_office_up", float(bool(told)))
        return told + up.text()

    def _is_token(self, token: str) -> bool:
        if self.token_file is None or not token:
            return False
        try:
            wanted = self.token_file.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            log.warning("the token for metrics cannot be read: %s", error)
            return False
        return len(wanted) >= SHORTEST_TOKEN and hmac.compare_digest(wanted.encode(), token.encode())


@lru_cache(maxsize=256)
def _is_in(address: str, table: Metrics) -> bool:
    try:
        found = ip_address(address.removeprefix("::ffff:"))
    except ValueError:
        return False
    return any(found in network for network in table.networks)


def _once(families: Iterable[Metric]) -> list[Metric]:
    known: dict[str, Metric] = {}
    for family in families:
        if known.setdefault(family.name, family) is not family:
            known[family.name].samples.extend(family.samples)
    return list(known.values())
