"""A key manager of IBM's in a new deployment: its tables of the configuration, checked before anything is made."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.shell.protections import in_toml

if TYPE_CHECKING:
    from keyrack.shell.config.whole import Config

NAME: Final = "ibm"
"""The key manager's name in the configuration: one that an environment variable can bear as well."""
TYPES: Final[Mapping[str, str]] = {"key-protect": "key_protect", "hpcs": "hpcs"}
"""What each kind is called in the configuration."""
API_KEY: Final = "ibm.key"
"""Where the API key is looked for, in the directory, if nobody names a file."""
_INTEGRITY: Final = (
    "[integrity]",
    'key_file = "integrity.key"     # what wrapped keys are authenticated with: keep a copy of it elsewhere',
)


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


def tables_of(kind: str, options: IbmOptions) -> str:
    """The tables, in TOML; ``kind`` is one of :data:`TYPES`."""
    return "\n".join([*_main(kind, options), "", *_iam(options), "", *_INTEGRITY])


def described(tables: str) -> str:
    """Where it is, for people; raises what :func:`configured` raises."""
    table = configured(tables).of_ibm[NAME]
    return f"{table.product} at {table.address}, instance {table.instance}"


def configured(tables: str) -> "Config":
    """A configuration of these tables alone, checked as it will be when it is loaded; raises ``ConfigError`` with each
    mistake in them."""
    # Who lists commands waits for none of these.
    from pydantic import ValidationError  # noqa: PLC0415

    from keyrack.shell.config.problems import ConfigError, problems_of  # noqa: PLC0415
    from keyrack.shell.config.whole import Config  # noqa: PLC0415

    try:
        return Config.model_validate({"deployment": {"id": "new"}, **tomllib.loads(tables)})
    except ValidationError as error:
        raise ConfigError(problems_of(error, "the configuration would not do", {})) from None


def _main(kind: str, options: IbmOptions) -> Sequence[str]:
    rows = {
        "type": TYPES[kind],
        "region": options.region,
        "network": options.network or ("private" if options.region else None),
        "url": options.url,
        "instance": options.kms_instance,
        "key_ring": options.key_ring,
        "ca_bundle": whole(options.ca_bundle),
        "proxy": options.proxy,
    }
    return [f"[key_managers.{NAME}]", *_lines(rows)]


def _iam(options: IbmOptions) -> Sequence[str]:
    other = options.trusted_profile or options.token_file
    rows = {
        "url": options.iam_url,
        "api_key_file": whole(options.api_key_file) or (None if other else API_KEY),
        "trusted_profile": options.trusted_profile,
        "cr_token_file": whole(options.cr_token_file),
        "token_file": whole(options.token_file),
    }
    return [f"[key_managers.{NAME}.iam]", *_lines(rows)]


def _lines(rows: dict[str, str | None]) -> list[str]:
    return [f"{key} = {in_toml(value)}" for key, value in rows.items() if value is not None]


def whole(path: Path | None) -> str | None:
    """A path as it stands in a configuration: absolute."""
    return str(path.expanduser().absolute()) if path is not None else None
