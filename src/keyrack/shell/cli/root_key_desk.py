"""What each ``keyrack root-key`` command opens: the key manager, and from the catalog which instances use which key."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.consent import require_person
from keyrack.shell.cli.failures import Failed, WrongUse
from keyrack.shell.cli.options import account, ask_passphrase, in_office

if TYPE_CHECKING:
    from keyrack.embedded.call import Call
    from keyrack.embedded.house import House
    from keyrack.embedded.iam.rights import Right
    from keyrack.embedded.instances import KeyManagerInstance
    from keyrack.embedded.keys import Key
    from keyrack.embedded.store.reading import Reading
    from keyrack.shell.office import Office

KeyName = Annotated[
    str,
    typer.Argument(
        metavar="KEY", help="Its identifier or the beginning of it, an alias, or its name.", show_default=False
    ),
]
KeyManagerName = Annotated[
    str | None, typer.Option("--key-manager", metavar="NAME", help="The key manager, if more than one is configured.")
]
InstanceOf = Annotated[
    str | None,
    typer.Option("--instance", metavar="NAME", help="The key manager instance; without it the first one is meant."),
]
KeyRingName = Annotated[
    str | None, typer.Option("--key-ring", metavar="RING", help="The key ring; without it every one is looked at.")
]

Yes = Annotated[
    str | None, typer.Option("--yes", metavar="NAME", help="The name of the key, in the place of typing it when asked.")
]

_LEAST_PREFIX = 4
"""Characters of an identifier's beginning."""


@dataclass(frozen=True, slots=True)
class Where:
    """What the options say."""

    config: Path | None
    key_manager: str | None
    instance: str | None
    ring: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """An instance of Keyrack whose keys a root key wraps."""

    name: str
    key_manager: str
    root_key: str
    keys: int
    """Those that are not destroyed."""
    clients: int
    """Client certificates in force."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """An open key manager, and who acts in which of its instances."""

    house: "House"
    call: "Call"
    instance: "KeyManagerInstance"
    key_manager: str
    """Its name in the configuration."""
    names: frozenset[str]
    """What instances of Keyrack call this key manager instance."""
    users: Sequence[User]

    def users_of(self, key: "Key") -> list[User]:
        """The instances of Keyrack whose keys this root key wraps."""
        called = {key.identifier, *(alias.name for alias in key.aliases)}
        return [user for user in self.users if user.key_manager in self.names and user.root_key in called]

    def find(self, word: str, *, deleted: bool = False) -> "Key":
        """The root key that is meant; where several have the name, the only one of them that is (not) ``deleted``."""
        from keyrack.embedded.errors import KeyNotFound
        from keyrack.embedded.iam.rights import Right

        with self.house.reading() as reading:
            try:
                key = reading.key_for(self.call, word, Right.READ_METADATA)
            except KeyNotFound:
                key = self._named(reading, word, deleted=deleted)
        if key.extractable:
            raise Failed(f"{key.identifier} is a standard key; 'keyrack root-key' is about root keys alone")
        return key

    def _named(self, reading: "Reading", word: str, *, deleted: bool) -> "Key":
        from keyrack.embedded.keys import KeyState

        prefix = word.lower() if len(word) >= _LEAST_PREFIX else ""
        found = reading.select(
            "instance = ? AND extractable = 0 AND (name = ? OR ? <> '' AND substr(id, 1, ?) = ?)",
            (self.instance.identifier, word, prefix, len(prefix), prefix),
            order="created_at, id",
        )
        found = [key for key in found if self.call.ring in (None, key.ring)]
        fitting = [key for key in found if (key.state is KeyState.DESTROYED) is deleted]
        chosen = fitting or found
        if len(chosen) == 1:
            return chosen[0]
        if chosen:
            those = ", ".join(key.identifier for key in chosen[:5]) + (", …" if len(chosen) > 5 else "")
            raise Failed(f"{len(chosen)} root keys are called {word!r}, or begin with it; name one of them: {those}")
        raise Failed(
            f"no root key of the key manager instance {self.instance.name!r} is called {word!r}, or begins with it "
            f"(in {_LEAST_PREFIX} characters or more); see 'keyrack root-key list', or name another key manager with "
            "--key-manager"
        )

    @contextmanager
    def journaled(self, right: "Right", key: "Key") -> Iterator[None]:
        """Write down that an act on the key was refused, if it is; what is done is written down where it is done."""
        from keyrack.embedded.errors import Refusal

        try:
            yield
        except Refusal as refusal:
            self.house.note_refused(self.call, right.value, key.identifier, refusal)
            raise


@contextmanager
def open_desk(where: Where, *, there: str = "") -> Iterator[Desk]:
    """Open the embedded key manager; a server may serve meanwhile, and what is changed counts there at once.

    ``there`` is IBM's command for the same, for those who name a key manager of IBM's.
    """
    import sqlite3

    from keyrack.embedded import tenancy
    from keyrack.embedded.call import Call, Caller
    from keyrack.shell.config.whole import find, load
    from keyrack.shell.office import open_house_of
    from keyrack.shell.sealed.openers import embedded_one

    config = load(find(where.config))
    users = in_office(where.config, users_in)
    name, _ = embedded_one(config, where.key_manager, there=there)
    house = open_house_of(config, name, ask_passphrase if sys.stdin.isatty() else None)
    try:
        first = tenancy.instances(house)[0]
        instance = tenancy.instance_named(house, where.instance) if where.instance else first
        qualified = f"{name}/{instance.identifier}"
        caller = Caller(identity=f"local-user-{account()}")
        yield Desk(
            house=house,
            call=Call(caller=caller, instance=instance.identifier, ring=where.ring),
            instance=instance,
            key_manager=name,
            names=frozenset({qualified, name} if instance == first else {qualified}),
            users=users,
        )
    except sqlite3.Error as error:
        raise Failed(
            f"the key manager's database fails: {error}; see how the key stands with 'root-key show', and try again"
        ) from error
    finally:
        house.close()


async def users_in(office: "Office") -> list[User]:
    """Every instance, with its root key, and how many depend on it."""
    from keyrack.spec.enumerations import State

    living = set(State) - {State.DESTROYED, State.DESTROYED_COMPROMISED}
    return [
        User(
            name=instance.name,
            key_manager=instance.key_manager,
            root_key=instance.root_key,
            keys=await office.catalog.count_listing(instance.identifier, living, office.now),
            clients=len(await office.catalog.certificates(instance.identifier)),
        )
        for instance in await office.administration.instances()
    ]


def consent(desk: Desk, key: "Key", act: str, consequence: str, yes: str | None) -> None:
    """Return when the person who acts has read what it means, and typed the name of the key.

    ``act`` goes on behind "to"; ``yes`` is the name as a script gives it. Without one, and without a terminal, nothing
    is done.
    """
    if yes is not None:
        _check_name(key, yes)
        return
    name = screen.printable(key.name)
    require_person(act, f"--yes {shlex.quote(name)}")
    for line in impact(desk, key, consequence):
        screen.note(line)
    typed = typer.prompt(f"Type the name of the key ({name}) to {act}", err=True)
    if typed not in (key.name, name):
        raise Failed(f"that is not its name; nothing was changed, and {name} is as it was")


def require_name(key: "Key", act: str, yes: str | None, why: str) -> None:
    """Return when a script has named the key; ``why`` tells what asks for it."""
    if yes is None:
        name = shlex.quote(screen.printable(key.name))
        raise WrongUse(f"{why}; say --yes {name} to {act}. Nothing was changed")
    _check_name(key, yes)


def _check_name(key: "Key", yes: str) -> None:
    if yes not in (key.name, key.identifier):
        raise WrongUse(f"--yes says {yes!r}, and the key is {screen.printable(key.name)!r}; nothing was changed")


def impact(desk: Desk, key: "Key", consequence: str) -> Iterator[str]:
    """Whom an act on the key concerns, and how."""
    name = f"{screen.printable(key.name)} ({key.identifier[:8]})"
    users = desk.users_of(key)
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
        yield f"No instance of Keyrack uses the root key {name}."
    if key.registrations:
        verb = "is" if len(key.registrations) == 1 else "are"
        yield f"{screen.count(len(key.registrations), 'resource')} of others {verb} registered with it:"
        yield from (f"  {screen.printable(each.resource)}" for each in key.registrations)
    yield "What others have wrapped with it, through the API, depends on it too."
