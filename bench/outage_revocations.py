"""Every way to revoke keys in a key manager, and how long a client that asks again and again still gets them."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.outage_ground import Ground, Tenant, got

EVERY = (0.25, 5.0, 14.0, 21.0, 29.0)
"""Seconds between two Gets, of one instance each: whoever asks seldom is served longest by a lease."""
STEADY = 60.0
"""Seconds for which they ask before anything is revoked."""
LEASE, EXISTENCE = 35.0, 65.0
"""Bounds in seconds: a lease of 30 and a probe of 5; the 60 between two listings, and one listing of 5."""
PATIENCE = 120.0
Act = Callable[[Sequence[Tenant]], None]


@dataclass(frozen=True, slots=True)
class Revocation:
    """One way to revoke, on one instance."""

    way: str
    every: float
    """Seconds between two Gets."""
    served: float
    """Seconds from the beginning of the act to the last answer with the key."""
    refused: float
    """The same to the first refusal; infinite where there was none."""
    bound: float
    told: str
    """The refusal, as the client sees it."""


@dataclass(slots=True)
class Watch:
    """A client that asks for one key until it is refused twice in a row."""

    tenant: Tenant
    address: tuple[str, int]
    every: float
    served_at: float = 0.0
    refused_at: float = float("inf")
    told: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """In a thread of its own."""
        refusals = 0
        with self.tenant.connect(self.address) as asking:
            while refusals < 2:
                answer, now = got(asking, self.tenant.uids[0]), time.monotonic()
                refusals = 0 if answer.ok else refusals + 1
                if answer.ok:
                    self.served_at = now
                elif refusals == 1:
                    self.refused_at, self.told = now, answer.message
                if self.ended.wait(self.every):
                    return
        self.ended.set()


def _root_keys(on: Ground, method: str, suffix: str) -> Act:
    def act(tenants: Sequence[Tenant]) -> None:
        for tenant in tenants:
            told = on.administrator.ask(method, f"/keys/{tenant.root_key}{suffix}")
            assert told.status in {200, 204}, told.body

    return act


def _standard_keys(on: Ground) -> Act:
    def act(tenants: Sequence[Tenant]) -> None:
        for tenant in tenants:
            found = on.administrator.ask("GET", f"/keys?search=exact:name:vmware_kmip_{tenant.uids[0]}").resource
            told = on.administrator.ask("DELETE", f"/keys/{found['id']}")
            assert told.status in {200, 204}, told.body

    return act


def _command(on: Ground, *words: str) -> Act:
    return lambda _: on.served.deployment.run(*words) and None


def _ways(on: Ground) -> dict[str, tuple[str, float, Act]]:
    """What revokes: the key manager of its instances, the bound, and the act."""
    grant = ("iam", "revoke", "keyrack-granted", "--role", "Manager")
    api_key = ("iam", "api-key", "delete", "keyrack-keyed", "key-1", "--yes")
    return {
        "root key disabled": ("kp", LEASE, _root_keys(on, "POST", "/actions/disable")),
        "root key deleted": ("kp", LEASE, _root_keys(on, "DELETE", "")),
        "root key deleted by force": ("kp", LEASE, _root_keys(on, "DELETE", "?force=true")),
        "IAM grant revoked": ("granted", LEASE, _command(on, *grant)),
        "API key deleted": ("keyed", LEASE, _command(on, *api_key)),
        "standard key deleted": ("kp", EXISTENCE, _standard_keys(on)),
    }


def revocations(on: Ground) -> list[Revocation]:
    """Every way, all at the same time, each on an instance for each of :data:`EVERY`."""
    for name in ("granted", "keyed"):
        on.configure(name, on.proxies["other"], on.served.instance, f"keyrack-{name}")
    ways = _ways(on)
    tenants = {
        way: [on.tenant(f"{way.replace(' ', '-')}-{number}".lower(), manager) for number in range(len(EVERY))]
        for way, (manager, *_) in ways.items()
    }
    address = on.deployment.start()
    watches = {
        way: [_watched(tenant, address, every) for tenant, every in zip(some, EVERY, strict=True)]
        for way, some in tenants.items()
    }
    time.sleep(STEADY)
    acted = {}
    for way, (_, _, act) in ways.items():
        acted[way] = time.monotonic()
        act(tenants[way])
    found = []
    for way, watch in _ended(watches, time.monotonic() + PATIENCE):
        served, refused = watch.served_at - acted[way], watch.refused_at - acted[way]
        found.append(Revocation(way, watch.every, served, refused, ways[way][1], watch.told))
    on.deployment.stop()
    return found


def _watched(tenant: Tenant, address: tuple[str, int], every: float) -> Watch:
    tenant.make(address, 1)
    watch = Watch(tenant, address, every)
    threading.Thread(target=watch.run, daemon=True).start()
    return watch


def _ended(watches: dict[str, list[Watch]], until: float) -> Iterator[tuple[str, Watch]]:
    for way, some in watches.items():
        for watch in some:
            watch.ended.wait(max(until - time.monotonic(), 0))
            watch.ended.set()
            yield way, watch
