"""``keyrack root-key`` on key managers of IBM's: what their API gives an administrator of Keyrack, and no more.

Their policies, aliases, rings and deletions by two persons are set there, where they are also looked after.
"""

import shlex
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import require_person
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import administrator
from keyrack.shell.cli.root_key_desk import User, Where, users_in

if TYPE_CHECKING:
    from pathlib import Path

    from keyrack.domain.secret import Secret
    from keyrack.ports.key_manager import RootKey, RootKeyAdministration
    from keyrack.shell.config.whole import Config
    from keyrack.shell.office import Office

Answer = TypeVar("Answer")

_LEAST_PREFIX = 4
_COLUMNS = ("id", "name", "state", "version", "created", "used by")
_UNREACHABLE = "nobody fetches these keys: a virtual machine or host that starts then stays without its disks."


@dataclass(frozen=True, slots=True, kw_only=True)
class Abroad:
    """A key manager of IBM's that a command is about."""

    config: "Config"
    file: "Path | None"
    name: str

    @property
    def product(self) -> str:
        """How IBM calls the service."""
        return self.config.of_ibm[self.name].product


def abroad(where: Where, **unknown: object) -> Abroad | None:
    """The key manager that is meant, if it is one of IBM's.

    ``unknown`` are options with their values that mean nothing there: one that is used is refused.
    """
    from keyrack.shell.config.whole import find, load

    config = load(find(where.config))
    name = where.key_manager
    if name is None and not config.embedded:
        if len(config.of_ibm) > 1:
            raise WrongUse(f"there are several key managers; name one with --key-manager: {', '.join(config.of_ibm)}")
        name = next(iter(config.of_ibm))
    if name is None or name not in config.of_ibm:
        return None
    named = {"instance": where.instance, "key_ring": where.ring, **unknown}
    used = [f"--{option.replace('_', '-')}" for option, value in named.items() if value]
    found = Abroad(config=config, file=where.config, name=name)
    if used:
        verb = "is" if len(used) == 1 else "are"
        raise WrongUse(
            f"{', '.join(used)} {verb} about embedded key managers, and {name!r} is {found.product}: leave it out, "
            "and see to it there, with the console or 'ibmcloud kp'"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The open key manager, and whose keys its root keys wrap."""

    abroad: Abroad
    manager: "RootKeyAdministration"
    office: "Office"
    users: Sequence[User]

    def users_of(self, key: "RootKey") -> list[User]:
        """The instances of Keyrack whose keys this root key wraps."""
        return [each for each in self.users if (each.key_manager, each.root_key) == (self.abroad.name, key.identifier)]

    async def find(self, word: str) -> "RootKey":
        """The root key of this identifier, or the one whose identifier begins so, or of this name."""
        known = await self.manager.list_root_keys()
        exact = [each for each in known if each.identifier == word]
        prefix = word.lower() if len(word) >= _LEAST_PREFIX else None
        found = exact or [
            each for each in known if each.name == word or (prefix and each.identifier.lower().startswith(prefix))
        ]
        if len(found) == 1:
            return found[0]
        if found:
            those = ", ".join(each.identifier for each in found[:5]) + (", …" if len(found) > 5 else "")
            raise Failed(f"{len(found)} root keys are called {word!r}, or begin with it; name one of them: {those}")
        raise Failed(
            f"no root key of {self.abroad.name!r} is called {word!r}, or begins with it (in {_LEAST_PREFIX} characters "
            "or more); see 'keyrack root-key list'"
        )

    async def done(self, act: str, key: "RootKey") -> None:
        """Write down in the catalog's journal what was done; the key manager has a journal of its own."""
        detail = {"key_manager": self.abroad.name, "name": key.name}
        await self.office.administration.commit(f"root-key.{act}", "", key.identifier, detail)

    def row(self, key: "RootKey") -> dict[str, Any]:
        """A root key as JSON."""
        from keyrack.embedded.keys import KeyState
        from keyrack.shell.cli.root_key_screens import WORDS

        states: dict[int, str] = {int(state): word for state, word in WORDS.items() if isinstance(state, KeyState)}
        return {
            "identifier": key.identifier,
            "name": key.name,
            "state": states.get(key.state, "unknown"),
            "state_number": key.state,
            "version_identifier": key.version,
            "created_at": screen.instant(key.created_at),
            "used_by": [each.name for each in self.users_of(key)],
            "key_manager": self.abroad.name,
        }


def _at(abroad: Abroad, act: Callable[[Counter], Awaitable[Answer]]) -> Answer:
    import asyncio

    from keyrack.ports.key_manager import RootKeyAdministration
    from keyrack.shell.office import open_key_manager, open_office

    async def visit() -> Answer:
        async with open_office(abroad.config, administrator()) as office:
            manager = open_key_manager(abroad.config, abroad.name)
            try:
                if not isinstance(manager, RootKeyAdministration):
                    raise Failed(f"{abroad.name!r} gives nobody its root keys to look after")
                return await act(Counter(abroad=abroad, manager=manager, office=office, users=await users_in(office)))
            finally:
                await manager.close()

    return asyncio.run(visit())


def list_all(abroad: Abroad, *, state: str | None, search: str | None, limit: int, json: bool) -> None:
    """All root keys that are not deleted, or those in a state, oldest first."""
    from keyrack.shell.cli.root_key_screens import states

    wanted = {int(number) for number in (states(state) or "0,1,2,3").split(",")}

    async def look(counter: Counter) -> list[dict[str, Any]]:
        known = await counter.manager.list_root_keys()
        return [counter.row(each) for each in known if each.state in wanted and (search or "") in each.name]

    rows = _at(abroad, look)
    more, rows = len(rows) > limit, rows[:limit]
    if json:
        screen.as_json(rows)
        return
    if rows:
        cells = [
            (
                row["identifier"],
                row["name"],
                row["state"],
                screen.shortened(row["version_identifier"]),
                screen.brief(row["created_at"]),
                ", ".join(row["used_by"]),
            )
            for row in rows
        ]
        screen.table(_COLUMNS, cells)
    else:
        screen.note(
            "No root key is like that."
            if state or search
            else "No root key yet; make one with 'keyrack root-key create NAME'."
        )
    if more:
        screen.note(f"There are more than these {limit}; --limit shows them.")


def show(abroad: Abroad, word: str, *, json: bool) -> None:
    """One of them."""

    async def look(counter: Counter) -> dict[str, Any]:
        return counter.row(await counter.find(word))

    _tell(_at(abroad, look), json=json)


def create(abroad: Abroad, name: str, *, json: bool, material: "Secret | None" = None) -> None:
    """A new one; with material it travels encrypted by the key manager's import token."""
    from keyrack.ports.key_manager import ImportsRootKeys

    async def make(counter: Counter) -> dict[str, Any]:
        if material is None:
            made = await counter.manager.create_root_key(name)
        elif isinstance(counter.manager, ImportsRootKeys):
            made = await counter.manager.import_root_key(name, material)
        else:
            raise Failed(f"{abroad.name!r} takes no material from outside; leave it out, and it makes its own")
        await counter.done("import" if material is not None else "create", made)
        return counter.row(made)

    told = _at(abroad, make)
    if json:
        screen.as_json(told)
        return
    screen.say(f"Root key {screen.printable(name)} is {told['state']} at {abroad.product}.")
    screen.pairs([("identifier", told["identifier"])])
    screen.say()
    screen.say("Next, an instance whose keys it wraps:")
    among = f" --key-manager {abroad.name}" if len(abroad.config.key_managers) > 1 else ""
    option = f" --config {abroad.file}" if abroad.file else ""
    screen.say(f"  keyrack instance create NAME --root-key {told['identifier']}{among}{option}")


def rotate(abroad: Abroad, word: str, *, json: bool) -> None:
    """Another version of one that the key manager has made itself."""

    async def turn(counter: Counter) -> dict[str, Any]:
        found = await counter.find(word)
        rotated = await counter.manager.rotate_root_key(found.identifier)
        await counter.done("rotate", rotated)
        return counter.row(rotated)

    told = _at(abroad, turn)
    if json:
        screen.as_json(told)
        return
    screen.say(f"Root key {screen.printable(told['name'])} has a new version, {told['version_identifier']}.")
    screen.say("What older versions have wrapped, they go on unwrapping: nothing needs to be done.")


def disable(abroad: Abroad, word: str, yes: str | None, *, json: bool) -> None:
    """Out of use until it is enabled."""
    consequence = f"While it is disabled {_UNREACHABLE}"
    _end(abroad, word, yes, _Ending("disable", "is disabled.", consequence), json=json)


def delete(abroad: Abroad, word: str, yes: str | None, *, json: bool) -> None:
    """Deleted; within 30 days it can be restored there."""
    told = "is deleted. Within 30 days 'ibmcloud kp key restore' brings it back."
    _end(abroad, word, yes, _Ending("delete", told, f"Once it is deleted {_UNREACHABLE}"), json=json)


def enable(abroad: Abroad, word: str, *, json: bool) -> None:
    """In use again."""

    async def act(counter: Counter) -> dict[str, Any]:
        found = await counter.find(word)
        await counter.manager.enable_root_key(found.identifier)
        await counter.done("enable", found)
        return counter.row(found) | {"state": "active", "state_number": 1}

    told = _at(abroad, act)
    _tell(told, json=json, line=f"Root key {screen.printable(told['name'])} is active again.")


@dataclass(frozen=True, slots=True)
class _Ending:
    act: str
    told: str
    consequence: str


def _end(abroad: Abroad, word: str, yes: str | None, ending: _Ending, *, json: bool) -> None:
    async def act(counter: Counter) -> dict[str, Any]:
        found = await counter.find(word)
        _consent(counter, found, ending, yes)
        if ending.act == "delete":
            await counter.manager.delete_root_key(found.identifier)
        else:
            await counter.manager.disable_root_key(found.identifier)
        await counter.done(ending.act, found)
        state = {"state": "deleted", "state_number": 5} if ending.act == "delete" else {}
        return counter.row(found) | ({"state": "disabled", "state_number": 2} | state)

    told = _at(abroad, act)
    _tell(told, json=json, line=f"Root key {screen.printable(told['name'])} {ending.told}")


def _consent(counter: Counter, key: "RootKey", ending: _Ending, yes: str | None) -> None:
    """Return when the person who acts has read whom it concerns, and typed the name of the key."""
    name = screen.printable(key.name)
    if yes is not None:
        if yes not in (key.name, key.identifier):
            raise WrongUse(f"--yes says {yes!r}, and the key is {name!r}; nothing was changed")
        return
    require_person(f"{ending.act} it", f"--yes {shlex.quote(name)}")
    for line in _impact(counter, key, ending.consequence):
        screen.note(line)
    typed = typer.prompt(f"Type the name of the key ({name}) to {ending.act} it", err=True)
    if typed not in (key.name, name):
        raise Failed(f"that is not its name; nothing was changed, and {name} is as it was")


def _impact(counter: Counter, key: "RootKey", consequence: str) -> Iterator[str]:
    name, users = f"{screen.printable(key.name)} ({key.identifier[:8]})", counter.users_of(key)
    if users:
        yield f"Root key {name} wraps the keys of:"
        yield ""
        yield from screen.table_lines(
            ("instance", "keys", "clients"), [(user.name, user.keys, user.clients) for user in users]
        )
        yield ""
        yield consequence
        yield "A running ESXi host keeps its keys until it restarts."
    else:
        yield f"No instance of this Keyrack uses the root key {name}."
    yield f"What others have wrapped with it at {counter.abroad.product} depends on it too."


def _tell(row: dict[str, Any], *, json: bool, line: str = "") -> None:
    if json:
        screen.as_json(row)
    elif line:
        screen.say(line)
    else:
        cells = row | {"used_by": ", ".join(row["used_by"]) or "no instance"}
        screen.pairs([(name.replace("_", " "), value) for name, value in cells.items()])
    sys.stdout.flush()
