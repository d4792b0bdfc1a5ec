"""``keyrack demo``: everything at work in a temporary directory, with a pretended vCenter, wiped at the end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import FAILED, OK, STARTED, screen
from keyrack.shell.cli.failures import WrongUse

if TYPE_CHECKING:
    from keyrack.shell.demonstration import Shown
    from keyrack.testing.vcenter import Step

INSTANCE = "demo"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Leave when done: exit code 0 if all went well, else 1.")
    ] = False,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep everything in this new directory instead of wiping it.")
    ] = None,
    vms: Annotated[int, typer.Option(min=1, max=1000, help="Virtual machines to encrypt.")] = 3,
    hosts: Annotated[int, typer.Option(min=1, max=64, help="Hosts to reboot.")] = 2,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 5696 or a free one without it.", show_default=False),
    ] = None,
    json: screen.Json = False,
) -> None:
    """Show everything at work.

    No root, no network, nothing left behind. A pretended vCenter encrypts virtual machines and reboots hosts against
    the real listener on 127.0.0.1; the web console stands beside it, behind a link that logs in once.
    """
    import asyncio

    from keyrack.shell import telemetry
    from keyrack.shell.demonstration import Demonstration

    if keep is not None and keep.exists():
        raise WrongUse(f"{keep} is there already; name a new directory for --keep")
    if hosts > vms:
        raise WrongUse(f"{vms} virtual machines cannot run on {hosts} hosts; use --hosts {vms} or more --vms")
    telemetry.configure("warning", "console")
    show = Demonstration(directory=keep, virtual_machines=vms, hosts=hosts, port=port, started=STARTED)
    shown = asyncio.run(show.run(_Silent() if json else _Told(stay=not check, kept=bool(keep)), stay=not check))
    if json:
        screen.as_json(_json(shown))
    raise typer.Exit(OK if shown.ok else FAILED)


class _Silent:
    """Says nothing until the end."""

    def ready(self, shown: "Shown") -> None:
        """The listener is open."""

    def step(self, step: "Step") -> None:
        """One step of the conversation is done."""

    def over(self, shown: "Shown") -> None:
        """The conversation is over."""


class _Told:
    """Tells a person what happens."""

    def __init__(self, *, stay: bool, kept: bool) -> None:
        self._stay, self._kept = stay, kept

    def ready(self, shown: "Shown") -> None:
        screen.say(screen.paint(f"Keyrack serves on {shown.address}, ready after {shown.ready:.2f} s.", "bold"))
        screen.say("A pretended vCenter now does what a real one does:")
        screen.say()

    def step(self, step: "Step") -> None:
        effort = screen.paint(f"{step.connections:3} connections, {step.requests:3} requests", "dim")
        screen.say(f"  {_mark(step.ok)} {step.what:<46} {step.milliseconds:6.0f} ms  {effort}")
        if step.problem:
            screen.say(screen.paint(f"    {step.problem}", "red"))

    def over(self, shown: "Shown") -> None:
        screen.say()
        screen.say("What Keyrack holds now, by the names that vCenter gave the keys:")
        screen.say()
        columns = ("unique_identifier", "state", "algorithm", "component", "name", "last_fetch")
        screen.table([_heading(column) for column in columns], [_cells(row) for row in _rows(shown)])
        screen.say()
        for problem in shown.problems:
            screen.say(f"{_mark(False)} {problem}")
        if self._stay:
            self._invite(shown)
        else:
            screen.say(f"{_mark(shown.ok)} " + ("all went well" if shown.ok else "it did not go well"))

    def _invite(self, shown: "Shown") -> None:
        from keyrack.shell.pki import spaced

        if way := shown.console:
            screen.say(screen.paint("The console, opened by this link once, within a quarter of an hour:", "bold"))
            screen.say(f"  {way.link}")
            screen.say(f"Later: {way.url}, name {way.name}, password {way.password}")
            screen.say("The browser warns, since nobody has certified a demonstration: compare the SHA-256 below.")
            screen.say()
        screen.pairs(
            [
                ("KMIP address", shown.address),
                ("server SHA-256", spaced(shown.fingerprint)),
                ("client", f"{shown.client[0]} and {shown.client[1].name}"),
                ("everything is in", shown.directory),
            ]
        )
        screen.say()
        screen.say("Try next, in another terminal:")
        for command in (f"key list {INSTANCE}", "status", "audit verify", f"cert issue {INSTANCE} --out my-client"):
            screen.say(f"  keyrack {command} --config {shown.config}")
        screen.say()
        what = "nothing here is meant to last" if self._kept else "keys vanish on exit"
        screen.say(screen.paint(f"demo: {what}, never point a real vCenter here", "yellow"))
        screen.say("Ctrl-C ends it.")


def _mark(ok: bool) -> str:
    return screen.paint("✓", "green") if ok else screen.paint("✗", "red")


def _cells(row: dict[str, Any]) -> list[Any]:
    return [
        screen.shortened(row["unique_identifier"]),
        row["state"],
        row["algorithm"],
        row["component"],
        row["name"],
        screen.brief(row["last_fetch"]),
    ]


def _heading(column: str) -> str:
    return {"unique_identifier": "id"}.get(column, column.replace("_", " "))


def _rows(shown: "Shown") -> list[dict[str, Any]]:
    from keyrack.shell.cli.key_screen import row_of

    return [row_of(key, shown.fetched.get(key.unique_identifier)) for key in shown.keys]


def _json(shown: "Shown") -> dict[str, Any]:
    return {
        "ok": shown.ok,
        "address": shown.address,
        "server_certificate_sha256": shown.fingerprint,
        "console": shown.console.url if shown.console else None,
        "config": str(shown.config),
        "ready_ms": round(shown.ready * 1000),
        "steps": [
            {
                "what": step.what,
                "ok": step.ok,
                "ms": round(step.milliseconds, 1),
                "connections": step.connections,
                "requests": step.requests,
                "problem": step.problem,
            }
            for step in shown.steps
        ],
        "keys": _rows(shown),
        "problems": shown.problems,
    }
