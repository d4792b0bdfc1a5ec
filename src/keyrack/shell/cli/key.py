"""``keyrack key``: the keys of an instance, by the names that vCenter gave them. Never their material."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from keyrack.shell.cli import key_acts, screen
from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.moments import HELP, moment
from keyrack.shell.cli.options import ConfigFile, InstanceName, in_office

if TYPE_CHECKING:
    from keyrack.shell.office import Office
    from keyrack.spec.enumerations import ObjectType, State

app = typer.Typer(name="key", help="Keys: what an instance holds.", no_args_is_help=True)

_AT_TERMINAL = 200
"""Keys that are shown at a terminal if nobody says how many."""
_PAGE = 500


def _time(meaning: str) -> Any:
    return typer.Option(metavar="TIME", help=f"{meaning}: {HELP}.", show_default=False)


@app.command("list")
def list_all(
    instance: InstanceName,
    state: Annotated[
        list[str] | None,
        typer.Option(metavar="STATE", help="Only keys in this state, for example active; may be said more than once."),
    ] = None,
    type: Annotated[  # noqa: A002 - the word of the standard
        str | None, typer.Option("--type", metavar="TYPE", help="Only objects of this type, for example secret-data.")
    ] = None,
    begins: Annotated[
        str, typer.Option("--id", metavar="PREFIX", help="Only keys whose identifiers begin so.", show_default=False)
    ] = "",
    name: Annotated[
        str,
        typer.Option(
            metavar="TEXT", help="Only keys with this in the name of their machine or host.", show_default=False
        ),
    ] = "",
    component: Annotated[
        str, typer.Option(metavar="TEXT", help='As "ESXi Server"; a part is enough.', show_default=False)
    ] = "",
    created_since: Annotated[str | None, _time("Only keys made since then")] = None,
    created_before: Annotated[str | None, _time("Only keys made before")] = None,
    fetched_since: Annotated[str | None, _time("Only keys fetched since then")] = None,
    not_fetched_since: Annotated[str | None, _time("Only keys last fetched before, or never")] = None,
    never_fetched: Annotated[bool, typer.Option("--never-fetched", help="Only keys that nobody ever fetched.")] = False,
    withheld: Annotated[
        bool, typer.Option("--withheld", help="Only keys whose standard key is gone from the key manager.")
    ] = False,
    unlabelled: Annotated[
        bool, typer.Option("--unlabelled", help="Only keys that vCenter did not label: perhaps orphans.")
    ] = False,
    recoverable: Annotated[
        bool, typer.Option("--recoverable", help="Only destroyed keys that can still be recovered.")
    ] = False,
    sort: Annotated[
        Literal["created", "last-fetch", "name"], typer.Option(help="What they are sorted by.")
    ] = "created",
    descending: Annotated[bool, typer.Option("--descending", help="The greatest, or latest, first.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="NUMBER",
            help="How many; 0 for all. Without it: 200 at a terminal, else all.",
            show_default=False,
        ),
    ] = None,
    cursor: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="Go on where a --json list has ended.", show_default=False)
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the keys of an instance, oldest first.

    With --json and --limit the answer is an object with the keys and the cursor of the next page.
    """
    from keyrack.ports.key_affairs import KeyFilter, KeyOrder
    from keyrack.service.office import keys

    def wanted(now: int) -> KeyFilter:
        return KeyFilter(
            states=frozenset(map(_state, state or ())),
            object_type=_type(type),
            prefix=begins.lower(),
            named=name,
            component=component,
            created_since=moment(created_since, now),
            created_before=moment(created_before, now),
            fetched_since=moment(fetched_since, now),
            not_fetched_since=moment(not_fetched_since, now),
            never_fetched=never_fetched,
            withheld=withheld,
            unlabelled=unlabelled,
            recoverable=recoverable,
        )

    wanted(0)  # What is no state or date is told before anything is opened.
    most = limit if limit is not None else (_AT_TERMINAL if sys.stdout.isatty() and not json else 0)

    async def look(office: "Office") -> tuple[list[dict[str, Any]], str | None]:
        from keyrack.shell.cli.key_screen import listed

        found = await office.administration.instance(instance)
        asked, following = wanted(office.now), cursor
        rows: list[dict[str, Any]] = []
        while True:
            room = min(_PAGE, most - len(rows)) if most else _PAGE
            page = await keys.page(
                office.administration,
                office.catalog,
                found,
                asked,
                order=KeyOrder(sort),
                descending=descending,
                cursor=following,
                limit=room,
            )
            rows += [listed(row, office.now) for row in page.rows]
            following = page.next
            if following is None or (most and len(rows) >= most):
                return rows, following

    rows, following = in_office(config, look)
    if json:
        screen.as_json(rows if limit is None else {"keys": rows, "next": following})
        return
    _show(instance, rows, filtered=bool(wanted(0) != KeyFilter()))
    if following:
        screen.note(f"There are more than {most}; '--limit 0' shows all, and options of 'key list --help' narrow them.")


def _show(instance: str, rows: list[dict[str, Any]], *, filtered: bool) -> None:
    from keyrack.shell.cli.key_screen import cells

    if not rows:
        screen.note(f"{instance} has no {'such key' if filtered else 'key yet; vCenter makes them'}.")
        return
    columns = ("id", "state", "algorithm", "created", "name", "component", "x-Identifier", "last fetch")
    screen.table(columns, [cells(row) for row in rows], spare=("x-Identifier", "algorithm", "created"))


@app.command()
def show(
    instance: InstanceName,
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its Unique Identifier, or the beginning of it.")],
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Show one key with all its attributes.

    Its material is never shown.
    """
    from keyrack.service.office import keys
    from keyrack.shell.cli.key_screen import told

    async def look(office: "Office") -> dict[str, Any]:
        from keyrack.shell.office import windows_of

        found = await office.administration.instance(instance)
        windows = windows_of(office.config)
        return told(await keys.tell(office.administration, office.catalog, found, key, windows), office.now)

    row = in_office(config, look)
    if json:
        screen.as_json(row)
        return
    attributes, life, wrapped = row.pop("attributes"), row.pop("life"), row.pop("wrapped_under")
    row["wrapped_under"] = _wrapped(wrapped) if wrapped else None
    screen.pairs([(name.replace("_", " "), value) for name, value in row.items() if value not in {None, False}])
    for title, pairs in (("life", life.items()), ("attributes", [(n, "; ".join(v)) for n, v in attributes.items()])):
        screen.say()
        screen.say(screen.paint(title, "bold"))
        screen.pairs(list(pairs))


def _wrapped(wrapped: dict[str, Any]) -> str:
    told = f"root key {wrapped['root_key']} of {wrapped['key_manager']}, version {wrapped['root_key_version']}"
    return f"{told}, by way of wrapping key {wrapped['wrapping_key']}" if wrapped["wrapping_key"] else told


def _state(text: str) -> "State":
    from keyrack.spec.enumerations import State

    wanted = text.replace("_", "-").replace(" ", "-").lower()
    named = {state.title.replace(" ", "-").lower(): state for state in State}
    if wanted not in named:
        raise WrongUse(f"{text!r} is not a state; use one of: {', '.join(named)}")
    return named[wanted]


def _type(text: str | None) -> "ObjectType | None":
    from keyrack.spec.enumerations import ObjectType

    if text is None:
        return None
    wanted = text.replace("_", "-").replace(" ", "-").lower()
    named = {kind.title.replace(" ", "-").lower(): kind for kind in ObjectType}
    if wanted not in named:
        raise WrongUse(f"{text!r} is not a type of object; use one of: {', '.join(named)}")
    return named[wanted]


key_acts.register(app)
