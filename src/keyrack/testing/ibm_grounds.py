"""IBM's adapters before the HTTPS face of a real embedded key manager, with fault proxies in between.

::

    with ibm_face(directory) as face, lane(face, directory / "lane") as way:
        adapter = way.adapter(KEY_PROTECT)
        way.key_manager.set(Rule(fault=Fault.HANG))
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.adapters.key_managers.ibm.hpcs import Hpcs
from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import HPCS, KEY_PROTECT, ApiKey, IamSettings, Settings
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.shell.rest.bounds import Bounds, Rate
from keyrack.testing.clock import Clock
from keyrack.testing.fault_proxy import FaultProxy, fault_proxy, fault_proxy_on_loop
from keyrack.testing.key_houses import INSTANCE, a_house
from keyrack.testing.key_protect import Address, key_protect, new_api_key

UNHURRIED: Final = Bounds(
    waiting=10_000,
    per_address=Rate(each_second=1e5, burst=10**5),
    per_caller=Rate(each_second=1e5, burst=10**5),
    logins=Rate(each_second=1e5, burst=10**5),
)
"""Bounds that tests do not meet."""
ADAPTERS: Final = {KEY_PROTECT: KeyProtect, HPCS: Hpcs}
Adapter = KeyProtect | Hpcs


@dataclass(frozen=True, slots=True)
class IbmFace:
    """A key manager that speaks IBM's API, and who may use it."""

    house: House
    manager: EmbeddedKeyManager
    """The same key manager, asked past the API."""
    address: Address
    api_key: Path
    """A file with the API key of a Manager."""
    token: Path
    """A file with a token of the same, for the next hour."""


@contextmanager
def ibm_face(directory: Path) -> Iterator[IbmFace]:
    """A key manager without IBM's waiting times, served as long as the block lasts."""
    house = a_house(directory, clock=Clock(time.time()), state_change=0, rotate=0)
    api_key = directory / "api-key"
    api_key.touch(mode=0o600)
    api_key.write_text(new_api_key(house, Role.MANAGER))
    try:
        with key_protect(house, directory, bounds=UNHURRIED) as address:
            token = directory / "token"
            token.touch(mode=0o600)
            token.write_text(address.login(api_key.read_text()))
            yield IbmFace(house, EmbeddedKeyManager.first_of(house), address, api_key, token)
    finally:
        house.close()


@dataclass(frozen=True, slots=True)
class Lane:
    """Two proxies before one face: what stands before the key manager, and before its IAM."""

    face: IbmFace
    key_manager: FaultProxy
    iam: FaultProxy
    settings: Settings

    def adapter(self, kind: str = KEY_PROTECT, **changes: object) -> Adapter:
        """A new adapter behind the proxies, to be closed; ``changes`` are fields of its settings."""
        return ADAPTERS[kind](replace(self.settings, **changes))  # type: ignore[arg-type]


@contextmanager
def lane(face: IbmFace, directory: Path, *, seed: int | None = None, **settings: object) -> Iterator[Lane]:
    """A way of its own to the face; ``settings`` are fields of the adapters' settings."""
    with (
        fault_proxy(face.address, directory / "key-manager", seed=seed) as key_manager,
        fault_proxy(face.address, directory / "iam", seed=seed) as iam,
    ):
        yield _between(face, directory, key_manager, iam, settings)


@asynccontextmanager
async def lane_on_loop(face: IbmFace, directory: Path, **settings: object) -> AsyncIterator[Lane]:
    """The same with proxies on the caller's loop, for tests that need many."""
    async with (
        fault_proxy_on_loop(face.address, directory / "key-manager") as key_manager,
        fault_proxy_on_loop(face.address, directory / "iam") as iam,
    ):
        yield _between(face, directory, key_manager, iam, settings)


def _between(
    face: IbmFace, directory: Path, key_manager: FaultProxy, iam: FaultProxy, settings: Mapping[str, object]
) -> Lane:
    bundle = directory / "authorities.pem"
    bundle.write_bytes(b"".join(proxy.address.authority.read_bytes() for proxy in (key_manager, iam)))
    told = Settings(
        name="kp",
        url=key_manager.address.url,
        instance=INSTANCE,
        iam=IamSettings(source=ApiKey(face.api_key), url=iam.address.url),
        ca_bundle=bundle,
    )
    return Lane(face, key_manager, iam, replace(told, **settings))  # type: ignore[arg-type]
