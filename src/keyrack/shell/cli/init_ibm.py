"""What ``keyrack init`` writes for a key manager of IBM's: its tables, checked before anything is made."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.ibm_tables import API_KEY, NAME, TYPES, IbmOptions, described, tables_of, whole

__all__ = ["NAME", "TYPES", "IbmChoice", "IbmOptions", "chosen_ibm"]

Region = Annotated[str | None, typer.Option(metavar="REGION", help="IBM's region, such as eu-de.", show_default=False)]
Url = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Address of IBM's API in the place of a region.", show_default=False),
]
Network = Annotated[
    Literal["private", "public"] | None,
    typer.Option(help="IBM's network; private without it.", show_default=False),
]
KmsInstance = Annotated[
    str | None, typer.Option(metavar="UUID", help="ID (GUID) of the instance at IBM.", show_default=False)
]
KeyRing = Annotated[
    str | None, typer.Option(metavar="RING", help="Key ring there for standard keys.", show_default=False)
]
ApiKeyFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File whose first line is a service ID's API key.", show_default=False),
]
TrustedProfile = Annotated[
    str | None, typer.Option(metavar="ID", help="Trusted profile in the place of an API key.", show_default=False)
]
CrTokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="The compute resource's token, for the profile.", show_default=False),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="An access token that somebody keeps fresh.", show_default=False),
]
IamUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="Address of IAM, if it is not IBM's own.", show_default=False)
]
CaBundle = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Authorities to trust there, in PEM.", show_default=False)
]
Proxy = Annotated[
    str | None, typer.Option(metavar="URL", help="HTTP proxy to IBM, http://host:port.", show_default=False)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class IbmChoice:
    """A key manager of IBM's, described whole."""

    tables: str
    """In TOML."""
    told: str
    """How people are told where it is."""
    api_key: Path | None
    """The API key's file that is not there yet; ``None`` where nothing is missing."""
    open_to_others: Path | None = None
    """The API key's file that others may read, and that is not used for as long as they may."""
    warning: str = (
        "without integrity.key no wrapped key verifies: keep a copy of it, and of the catalog, on another machine"
    )

    def next_steps(self, option: str) -> list[str]:
        """What a person does now; ``option`` names the configuration where it has to be named."""
        steps = [f"keyrack key-manager check{option}", f"keyrack root-key list{option}"]
        if self.open_to_others is not None:
            steps.insert(0, f"chmod 600 {shlex.quote(str(self.open_to_others))}")
        if self.api_key is not None:
            file = shlex.quote(str(self.api_key))
            steps.insert(0, f"(umask 077; read -rsp 'API key: ' KEY; echo \"$KEY\" > {file})")
        return [*steps, f"keyrack instance create prod --root-key ID{option}", f"keyrack serve{option}"]


def chosen_ibm(kind: str, directory: Path, options: IbmOptions, *, ask: bool) -> IbmChoice:
    """The tables of the configuration; raises :class:`WrongUse`, and ``ConfigError`` with each mistake in them."""
    options = _completed(options) if ask else options
    if options.kms_instance is None:
        raise WrongUse(
            f"a key manager at IBM needs --kms-instance UUID, the instance's ID (GUID), and --region or --url; "
            f"see 'keyrack init --key-manager {kind} --help'"
        )
    bundle = options.ca_bundle.expanduser() if options.ca_bundle is not None else None
    if bundle is not None and not bundle.is_file():
        raise WrongUse(f"--ca-bundle {bundle} is not there; name a file with the authorities' certificates in PEM")
    tables = tables_of(kind, options)
    return IbmChoice(
        tables=tables,
        told=described(tables),
        api_key=_missing(directory, options),
        open_to_others=_open_to_others(options.api_key_file),
    )


def _completed(options: IbmOptions) -> IbmOptions:
    """With what the person at the terminal says where what is needed is missing."""
    from dataclasses import replace

    from keyrack.adapters.key_managers.ibm.settings import REGIONS

    if options.region is None and options.url is None:
        listed = ", ".join(REGIONS["key_protect"])
        options = replace(options, region=str(typer.prompt(f"Region ({listed})", err=True)))
    if options.kms_instance is None:
        options = replace(options, kms_instance=str(typer.prompt("ID (GUID) of the instance there", err=True)))
    return options


def _missing(directory: Path, options: IbmOptions) -> Path | None:
    if options.trusted_profile or options.token_file:
        return None
    path = Path(whole(options.api_key_file) or directory / API_KEY)
    return None if path.exists() else path


def _open_to_others(path: Path | None) -> Path | None:
    path = path.expanduser().absolute() if path is not None else None
    return path if path is not None and path.is_file() and path.stat().st_mode & 0o037 else None
