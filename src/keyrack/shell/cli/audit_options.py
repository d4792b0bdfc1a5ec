"""What the commands of the journal have in common: which records are wanted, and how times are said."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from keyrack.shell.cli import screen
from keyrack.shell.cli.failures import WrongUse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from keyrack.service.journal.reading import Wanted

Since = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="From then on: 2026-01-31, 2026-01-31T10:00 (UTC), or 7d, 3h, 20min ago."),
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Until then.")]
OfInstance = Annotated[str | None, typer.Option("--instance", metavar="INSTANCE", help="Only this instance's.")]
OfKey = Annotated[
    str | None,
    typer.Option(
        "--key", metavar="ID", help="Only what was done to this: the beginning of a key's identifier, of a fingerprint."
    ),
]
OfAction = Annotated[
    str | None,
    typer.Option("--action", metavar="ACTION", help="Only this, such as Get, kmip-key.read or certificate.add."),
]
OfOutcome = Annotated[
    str | None, typer.Option("--outcome", metavar="OUTCOME", help="success, failure, or one reason: 'Item Not Found'.")
]
OfInitiator = Annotated[
    str | None,
    typer.Option(
        "--initiator", metavar="WHO", help="Only by this one: beginning of a fingerprint, person-NAME, local-user-NAME."
    ),
]

_AGO = re.compile(r"(\d{1,6})\s*(s|min|h|d|w)")
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
COLUMNS = ("at", "action", "outcome", "target", "initiator", "address")


def milliseconds(said: str | None, option: str) -> int | None:
    """A time as it was said, in milliseconds since 1970; raises :class:`WrongUse`."""
    if said is None:
        return None
    ago = _AGO.fullmatch(said.strip())
    try:
        if ago:
            moment = datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        else:
            moment = datetime.fromisoformat(said.strip())
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError):
        raise WrongUse(
            f"{option} {said!r} is no time; write 2026-01-31, 2026-01-31T10:00, or how long ago: 20min, 3h, 7d"
        ) from None


def wanted_of(said: "Mapping[str, str | None]") -> "Wanted":
    """What was asked for, by the names of :class:`Wanted`; raises :class:`WrongUse`."""
    from keyrack.service.journal.reading import Wanted

    plain = {name: value or "" for name, value in said.items() if name not in {"since", "until"}}
    return Wanted(
        since=milliseconds(said.get("since"), "--since"), until=milliseconds(said.get("until"), "--until"), **plain
    )


def show(events: "Sequence[Mapping[str, Any]]", *, json: bool) -> None:
    """Events as a table, or as JSON."""
    if json:
        screen.as_json(list(events))
        return
    screen.table(COLUMNS, [row(each) for each in events])


def row(event: "Mapping[str, Any]") -> list[str]:
    """One event for people: identifiers by their beginnings where a person looks."""
    from keyrack.service.journal.reading import brief

    at, *rest = brief(event)
    return [screen.brief(at) or at, *(_short(cell) for cell in rest)]


_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _short(cell: str) -> str:
    # A fingerprint is told by its beginning, as everywhere else; --json has the whole of it.
    start = cell.removeprefix("CertificateID-")
    if len(start) == 64:
        return start[:16]
    return (screen.shortened(cell) or "") if _UUID.fullmatch(cell) else cell


def public_key(file: Path) -> str:
    """The public part of a signing key, in hexadecimal, of a PEM or of the digits themselves."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

    data = file.read_bytes()
    try:
        if b"-----BEGIN" not in data:
            key: Any = Ed25519PublicKey.from_public_bytes(bytes.fromhex(data.decode("ascii").strip()))
        else:
            key = load_pem_public_key(data)
        if isinstance(key, Ed25519PublicKey):
            return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    except ValueError:
        pass
    raise WrongUse(f"{file} holds no public key that signs checkpoints; 'keyrack audit key' prints it")
