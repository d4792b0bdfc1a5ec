"""The embedded key manager within this process: wraps, tokens and lists, beside what no key manager can do without."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import floors
from bench.measured import Case, Thing, again, together

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded import aliases, creation, lookup, rings
from keyrack.embedded.call import KEYRACK, Call
from keyrack.embedded.house import House
from keyrack.embedded.iam.rights import Role
from keyrack.embedded.iam.signing import BITS
from keyrack.embedded.iam.tokens import caller_of, token_for
from keyrack.embedded.root_keys.port import Keeper
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.testing.key_protect import new_api_key

SIZE = 32
"""Bytes that are wrapped: an AES-256 key."""
AAD = ("vm", "0b7d1c7e-6a53-4f6b-9f0e-2f1d3a5c7e91")
CALLERS = (1, 64)
PAGE = 200
RING, IN_RING = "bench", 1000
ENCIPHERMENT, ROW, DURABLE = "AES-GCM alone", "one row of SQLite", "one durable row of SQLite"
SIGNATURE = f"RSA-{BITS} signature"
ISSUER = "https://127.0.0.1:8444/identity"


@dataclass(frozen=True, slots=True)
class Stock:
    """A key manager with its keys."""

    manager: EmbeddedKeyManager
    directory: Path
    keys: int

    @property
    def database(self) -> Path:
        """Its database."""
        return self.directory / "keystore.db"

    @property
    def name(self) -> str:
        """How many keys there are."""
        return f"{self.keys:,} keys"


class Wrapping:
    """A root key, something that it has wrapped, and acts with both through the port."""

    def __init__(self, manager: EmbeddedKeyManager, runner: asyncio.Runner) -> None:
        self._manager = manager
        self._root_key = runner.run(manager.create_root_key("root key of the benchmark")).identifier
        self._ciphertext = runner.run(self.wrap())

    async def wrap(self) -> bytes:
        with Secret(bytearray(os.urandom(SIZE))) as plaintext:
            return (await self._manager.wrap(self._root_key, plaintext, AAD)).ciphertext

    async def unwrap(self) -> None:
        (await self._manager.unwrap(self._root_key, self._ciphertext, AAD)).plaintext.wipe()

    @property
    def acts(self) -> Mapping[str, Callable[[], Awaitable[object]]]:
        """Both by their names."""
        return {"wrap": self.wrap, "unwrap": self.unwrap}


def new_manager(directory: Path, hsm: Keeper | None = None) -> EmbeddedKeyManager:
    """A key manager with its files in ``directory``, which is made; with ``hsm`` its root keys are there."""
    directory.mkdir(parents=True)
    unlock = KeyFile(directory / "keystore.key")
    unlock.create()
    made = EmbeddedKeyManager.create(directory / "keystore", unlock)
    if hsm is None:
        return made
    made.house.close()
    return EmbeddedKeyManager.first_of(House.open(directory / "keystore", unlock, hsm=hsm))


def stocked(directory: Path, keys: int) -> Stock:
    """A key manager with standard keys such as KMIP keeps: a thousand of them in a key ring, one with an alias."""
    manager = new_manager(directory)
    house, call = manager.house, Call(caller=KEYRACK, instance=manager.instance)
    rings.create_ring(house, call, RING)
    named = [f"vmware_kmip_{number:08d}" for number in range(keys)]
    for begin in range(0, keys, IN_RING):
        call = Call(caller=KEYRACK, instance=manager.instance, ring=None if begin else RING, journaled=False)
        put = [(name, os.urandom(420)) for name in named[begin : begin + IN_RING]]
        made = creation.put_standard_keys(house, call, put)
        if not begin:
            aliases.create_alias(house, call, made[0], "the-one")
    return Stock(manager, directory, keys)


def software(stock: Stock, runner: asyncio.Runner) -> Case:
    """Wrap and unwrap with a root key in software."""
    bare = [floors.encipherment(ENCIPHERMENT, SIZE), floors.row(ROW, stock.database)]
    things = [
        Thing(named(word, callers), partial(together, runner, act, callers=callers))
        for word, act in Wrapping(stock.manager, runner).acts.items()
        for callers in CALLERS
    ]
    return Case("root key in software", [*bare, *things], {thing.name: (ENCIPHERMENT, ROW) for thing in things})


def tokens(stock: Stock, work: Path) -> Case:
    """An API key is exchanged for a token, and a token is checked."""
    house = stock.manager.house
    api_key = new_api_key(house, Role.MANAGER, instance=stock.manager.instance).encode()

    def exchanged() -> str:
        with Secret(bytearray(api_key)) as shown:
            return token_for(house, shown, ISSUER).access_token

    token = exchanged()
    things = [
        floors.signature(SIGNATURE, BITS),
        floors.durable_row(DURABLE, work / "durable.db"),
        floors.row(ROW, stock.database, "service_ids"),
        Thing("token exchange", partial(again, exchanged)),
        Thing("token check", partial(again, lambda: caller_of(house, token, ISSUER))),
    ]
    return Case("tokens", things, {"token exchange": (SIGNATURE, DURABLE), "token check": (ROW,)})


def lists(few: Stock, many: Stock) -> Case:
    """Pages, counts and searches among few keys and among many."""
    things = []
    against: dict[str, Sequence[str]] = {}
    for stock in (few, many):
        rows = f"{PAGE} rows of SQLite, {stock.name}"
        things.append(floors.page(rows, stock.database, PAGE))
        for word, look in _looks(stock).items():
            name = f"{word}, {stock.name}"
            things.append(Thing(name, partial(again, look)))
            to_floor = [rows] if word.startswith("page") else []
            against[name] = to_floor if stock is few else [*to_floor, f"{word}, {few.name}"]
    return Case("lists", things, against)


def named(word: str, callers: int) -> str:
    """The name of an act with its callers."""
    return f"{word}, {callers} caller{'s' if callers > 1 else ''}"


def _looks(stock: Stock) -> dict[str, Callable[[], object]]:
    house, instance = stock.manager.house, stock.manager.instance
    anywhere, in_ring = Call(caller=KEYRACK, instance=instance), Call(caller=KEYRACK, instance=instance, ring=RING)

    def paged(call: Call, **asked: str) -> Callable[[], object]:
        return lambda: lookup.page(house, call, lookup.Query.parse(asked))

    return {
        f"page of {PAGE}": paged(anywhere),
        f"page of {PAGE}, newest first": paged(anywhere, sort="-creationDate"),
        "count": lambda: lookup.total(house, anywhere, lookup.Query.parse({})),
        f"search in a ring of {IN_RING:,}": paged(in_ring, search="99"),
        "search for an alias": paged(anywhere, search="exact:alias:the-one"),
    }
