"""``keyrack backup``: one file that brings a deployment back, made while servers write; and the way back from it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import OK, UNHEALTHY, copies, screen
from keyrack.shell.cli.backup_return import agree, restore
from keyrack.shell.cli.failures import Failed
from keyrack.shell.cli.options import ConfigFile, in_office
from keyrack.shell.cli.progress import watched

if TYPE_CHECKING:
    from keyrack.service.copies.proving import Proved
    from keyrack.shell.backups.making import Made
    from keyrack.shell.backups.manifest import Manifest
    from keyrack.shell.backups.verifying import Found
    from keyrack.shell.office import Office

app = typer.Typer(
    name="backup", help="Backups of a deployment on SQLite, and the way back from them.", no_args_is_help=True
)

app.command()(restore)
app.command()(agree)

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@app.command()
def create(
    out: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="File to write, or a directory; else backup.directory.", show_default=False),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Keep so many where it goes, and remove older ones.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Make a backup, while servers serve.

    One file of mode 0600 with the catalog, sealed keystores and their databases, exported checkpoints, certificates and
    the configuration; private keys and what opens keystores are not in it.
    """
    from keyrack.shell.backups.acts import create_in
    from keyrack.shell.backups.making import Order
    from keyrack.shell.config.whole import find

    file = find(config)

    async def act(office: "Office") -> "Made":
        with watched("Copying the catalog", "Writing (MiB)", "Reading back (MiB)") as (pages, writing, reading):
            order = Order(
                config=office.config,
                file=file,
                out=out,
                keep=keep,
                copying=pages,
                writing=writing,
                reading=reading,
            )
            return await create_in(office.catalog, order, office.administration.administrator)

    made = in_office(config, act)
    if json:
        screen.as_json({**_manifest_json(made.path, made.manifest, made.size), "removed": [*map(str, made.removed)]})
        return
    screen.say(str(made.path))
    screen.pairs(_told(made.manifest, made.size))
    for path in made.removed:
        screen.say(f"removed {path}: an older one")
    if made.manifest.left_out:
        screen.say("Not in it, because they are secrets in clear; keep them apart from it:")
        for each in made.manifest.left_out:
            screen.say(f"  {each}")


@app.command("list")
def list_all(
    directory: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where to look; else backup.directory.", show_default=False),
    ] = None,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """List the backups that are there, oldest first."""
    from keyrack.shell.backups import archive
    from keyrack.shell.backups.manifest import BadBackup
    from keyrack.shell.config.whole import find, load

    where = directory
    if where is None:
        loaded = load(find(config))
        where = loaded.path(loaded.backup.directory)
    found: list[tuple[Path, Manifest | None, str]] = []
    for path in archive.those_of(where):
        try:
            with archive.opened(path) as backup:
                found.append((path, backup.manifest, ""))
        except (BadBackup, OSError) as error:
            found.append((path, None, str(error)))
    if json:
        screen.as_json(
            [
                _manifest_json(path, told, path.stat().st_size)
                if told is not None
                else {"file": str(path), "unreadable": why}
                for path, told, why in found
            ]
        )
        return
    if not found:
        screen.note(f"There is no backup in {where}; 'keyrack backup create' makes one.")
        return
    rows = [
        (screen.brief(screen.instant(told.at)), f"{told.keys:,}", _size(path.stat().st_size), told.version, path.name)
        if told is not None
        else ("unreadable", "", _size(path.stat().st_size), "", path.name)
        for path, told, _ in found
    ]
    screen.table(("made", "keys", "size", "version", "file"), rows)


@app.command()
def verify(
    file: BackupFile,
    opens: Annotated[bool, typer.Option("--open", help="Open every key in it with the key managers as well.")] = False,
    rate: Annotated[float, typer.Option(min=0.1, metavar="N", help="Keys that are opened in a second.")] = 100,
    config: ConfigFile = None,
    json: screen.Json = False,
) -> None:
    """Verify a backup: its parts, the database in it, and the journal's chains against its checkpoints.

    Nothing is changed. Exit code 3 where it is not as it was written, or with --open a key does not open.
    """
    import asyncio

    from keyrack.shell.backups import verifying

    with watched("Reading (MiB)") as (reading,):
        found = asyncio.run(verifying.verify(file, reading=reading))
    proved = _opened(file, rate, config) if opens and not found.flaws else None
    well = not found.flaws and (proved is None or not (proved.failures or proved.stopped))
    if json:
        screen.as_json(_found_json(file, found, proved, well=well))
    else:
        _tell_found(found, proved)
    raise typer.Exit(OK if well else UNHEALTHY)


def _opened(file: Path, rate: float, config: Path | None) -> "Proved":
    async def act(office: "Office") -> "Proved":
        from keyrack.service.copies.proving import BackupProved, Proving
        from keyrack.shell.backups import archive
        from keyrack.shell.backups.verifying import catalog_of
        from keyrack.shell.vaulting import vault_of

        proving = Proving(office.catalog, office.vault, office.key_managers)
        with watched("Opening keys") as (report,), archive.opened(file) as backup:
            if backup.manifest.deployment != office.config.deployment.id:
                raise Failed(
                    f"it is a backup of deployment {backup.manifest.deployment!r}, and this is "
                    f"{office.config.deployment.id!r}: name the configuration of that one with --config"
                )
            async with catalog_of(backup) as copy:
                await proving.backup(
                    BackupProved(name=file.name, at=backup.manifest.at),
                    copy,
                    lambda catalog: vault_of(office.config, office.key_managers, catalog),
                    report=report,
                    rate=rate,
                )
        return proving.found

    return in_office(config, act, root_keys=True)


def _tell_found(found: "Found", proved: "Proved | None") -> None:
    screen.pairs(_told(found.manifest, found.size))
    for flaw in found.flaws[: copies.MOST_LINES]:
        screen.say(f"{screen.mark('failed')} {screen.printable(flaw)}")
    if found.flaws:
        screen.say("It is not to be relied on: take another one, and find out what has changed this one.")
        return
    records = screen.count(found.records, "journal record")
    screen.say(f"{screen.mark('ok')} every part is as it was written, and the database is sound")
    screen.say(f"{screen.mark('ok')} {records} and {screen.count(found.checkpoints, 'checkpoint')} fit together")
    if proved is not None:
        _tell_backups(proved)


def _tell_backups(proved: "Proved") -> None:
    for each in proved.backups:
        level = "failed" if each.flaws else "ok"
        outlived = f", {each.outlived:,} outlived" if each.outlived else ""
        opened = f"{each.opened + each.same:,} of {each.keys:,} keys open{outlived}"
        when = screen.brief(screen.instant(each.at)) if each.at else ""
        told = screen.printable(each.flaws[0]) if each.flaws else opened
        screen.say(f"{screen.mark(level)} {each.name}  {when}  {told}")
    for where, those in copies.grouped(proved.failures, lambda each: each.where).items():
        screen.say(f"{screen.mark('failed')} {len(those):,} of {where} do not open:")
        copies.listed(those, lambda each: f"{each.instance}  {each.unique_identifier}  {each.told}")


def _told(told: "Manifest", size: int) -> list[tuple[str, Any]]:
    return [
        ("deployment", told.deployment),
        ("made", screen.instant(told.at)),
        ("size", _size(size)),
        ("keys", f"{told.keys:,}, of them {told.destroyed:,} destroyed"),
        ("instances", f"{told.instances:,}"),
        ("journal", f"{told.journal_end:,} records, checkpoint {told.checkpoint}"),
        ("version", f"{told.version}, schema {told.schema}"),
    ]


def _size(size: int) -> str:
    return f"{size / 2**20:,.1f} MiB"


def _manifest_json(path: Path, told: "Manifest", size: int) -> dict[str, Any]:
    return {
        "file": str(path.absolute()),
        "size": size,
        "deployment": told.deployment,
        "made_at": screen.instant(told.at),
        "age_seconds": max(0, int(time.time()) - told.at),
        "version": told.version,
        "schema": told.schema,
        "keys": told.keys,
        "destroyed": told.destroyed,
        "instances": told.instances,
        "journal_end": told.journal_end,
        "checkpoint": told.checkpoint,
        "left_out": list(told.left_out),
        "parts": [{"name": each.name, "size": each.size, "sha256": each.sha256} for each in told.parts],
    }


def _found_json(path: Path, found: "Found", proved: "Proved | None", *, well: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"well": well, **_manifest_json(path, found.manifest, found.size), "flaws": [*found.flaws]}
    told |= {"records": found.records, "checkpoints": found.checkpoints}
    if proved is not None:
        told["opened"] = proved_json(proved)
    return told


def proved_json(proved: "Proved") -> dict[str, Any]:
    """What a proof has come to."""
    return {
        "well": proved.well,
        "keys": proved.keys,
        "opened_from_catalog": proved.catalog,
        "opened_from_key_manager": proved.key_manager,
        "in_catalog_alone": proved.alone,
        "withheld": proved.withheld,
        "destroyed": proved.destroyed,
        "stopped": proved.stopped,
        "backups": [
            {
                "name": each.name,
                "made_at": screen.instant(each.at) if each.at else None,
                "keys": each.keys,
                "opened": each.opened,
                "same_as_opened": each.same,
                "outlived": each.outlived,
                "flaws": list(each.flaws),
            }
            for each in proved.backups
        ],
        "failures": [
            {
                "where": each.where,
                "instance": each.instance,
                "unique_identifier": each.unique_identifier,
                "why": each.told,
            }
            for each in proved.failures
        ],
    }
