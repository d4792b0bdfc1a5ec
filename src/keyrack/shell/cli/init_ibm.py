"""What ``keyrack init`` writes for a key manager of IBM's: its tables, checked before anything is made."""

import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Literal

import typer

from keyrack.shell.cli.failures import WrongUse
from keyrack.shell.cli.protection import in_toml

NAME = "ibm"
"""The key manager's name in the configuration: one that an environment variable can bear as well."""
TYPES = {"key-protect": "key_protect", "hpcs": "hpcs"}
API_KEY = "ibm.key"
"""Where the API key is looked for, in the directory, if nobody names a file."""

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
class IbmOptions:
    """What the options say of an instance at IBM."""

    region: str | None = None
    url: str | None = None
    network: str | None = None
    kms_instance: str | None = None
    key_ring: str | None = None
    api_key_file: Path | None = None
    trusted_profile: str | None = None
    cr_token_file: Path | None = None
    token_file: Path | None = None
    iam_url: str | None = None
    ca_bundle: Path | None = None
    proxy: str | None = None

    def given(self) -> list[str]:
        """The options that were used, as they are written."""
        return [f"--{each.name.replace('_', '-')}" for each in fields(self) if getattr(self, each.name) is not None]


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
    tables = "\n".join([*_main(kind, options), "", *_iam(directory, options), "", *_INTEGRITY])
    return IbmChoice(
        tables=tables,
        told=_told(tables),
        api_key=_missing(directory, options),
        open_to_others=_open_to_others(options.api_key_file),
    )


_INTEGRITY = (
    "[integrity]",
    'key_file = "integrity.key"     # what wrapped keys are authenticated with: keep a copy of it elsewhere',
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


def _main(kind: str, options: IbmOptions) -> Sequence[str]:
    rows = {
        "type": TYPES[kind],
        "region": options.region,
        "network": options.network or ("private" if options.region else None),
        "url": options.url,
        "instance": options.kms_instance,
        "key_ring": options.key_ring,
        "ca_bundle": _whole(options.ca_bundle),
        "proxy": options.proxy,
    }
    return [f"[key_managers.{NAME}]", *_lines(rows)]


def _iam(directory: Path, options: IbmOptions) -> Sequence[str]:
    other = options.trusted_profile or options.token_file
    rows = {
        "url": options.iam_url,
        "api_key_file": _whole(options.api_key_file) or (None if other else API_KEY),
        "trusted_profile": options.trusted_profile,
        "cr_token_file": _whole(options.cr_token_file),
        "token_file": _whole(options.token_file),
    }
    return [f"[key_managers.{NAME}.iam]", *_lines(rows)]


def _lines(rows: dict[str, str | None]) -> list[str]:
    return [f"{key} = {in_toml(value)}" for key, value in rows.items() if value is not None]


def _whole(path: Path | None) -> str | None:
    return str(path.expanduser().absolute()) if path is not None else None


def _told(tables: str) -> str:
    """Where it is, once the tables were checked as they will be when they are loaded."""
    from pydantic import ValidationError

    from keyrack.shell.config.problems import ConfigError, problems_of
    from keyrack.shell.config.whole import Config

    try:
        config = Config.model_validate({"deployment": {"id": "new"}, **tomllib.loads(tables)})
    except ValidationError as error:
        raise ConfigError(problems_of(error, "the configuration would not do", {})) from None
    table = config.of_ibm[NAME]
    return f"{table.product} at {table.address}, instance {table.instance}"


def _missing(directory: Path, options: IbmOptions) -> Path | None:
    if options.trusted_profile or options.token_file:
        return None
    path = Path(_whole(options.api_key_file) or directory / API_KEY)
    return None if path.exists() else path


def _open_to_others(path: Path | None) -> Path | None:
    path = path.expanduser().absolute() if path is not None else None
    return path if path is not None and path.is_file() and path.stat().st_mode & 0o037 else None
