"""IBM's key managers, opened as configured. Nothing is asked there yet: one that is away keeps nobody out."""

import os
import ssl
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from keyrack.adapters.key_managers.ibm.settings import (
    ApiKey,
    IamSettings,
    Settings,
    TokenFile,
    TrustedProfile,
)
from keyrack.shell.config.ibm import HpcsTable, Iam, IbmTable
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.config.whole import Config
from keyrack.shell.sealed.openers import credential

if TYPE_CHECKING:
    from keyrack.adapters.key_managers.registry import Configured


def settings_of(config: Config, name: str, table: IbmTable) -> Settings:
    """What the client needs to know; raises :class:`ConfigError` for each file that is missing or open to others."""
    where = f"key_managers.{name}"
    problems: list[Problem] = []
    iams: dict[str, IamSettings] = {}
    for key, iam in (("iam", table.iam), ("deleting", table.deleting)):
        if iam is None:
            continue
        try:
            iams[key] = IamSettings(source=_source(config, iam, f"{where}.{key}"), url=table.iam_address(iam))
        except ConfigError as error:
            problems.extend(error.problems)
    bundle = config.path(table.ca_bundle) if table.ca_bundle is not None else None
    if bundle is not None and (problem := _bundle_problem(bundle, f"{where}.ca_bundle")):
        problems.append(problem)
    if problems:
        raise ConfigError(problems)
    return Settings(
        name=name,
        url=table.address,
        instance=table.instance,
        iam=iams["iam"],
        deleting=iams.get("deleting"),
        key_ring=table.key_ring,
        ca_bundle=bundle,
        proxy=table.proxy,
        connections=table.connections,
        connect_seconds=table.connect_seconds,
        answer_seconds=table.answer_seconds,
        write_seconds=table.write_seconds,
    )


def open_ibm(settings: Settings, table: IbmTable) -> "Configured":
    """The key manager; it asks nothing until it is asked."""
    # Deployments without one do not wait for its client to be loaded.
    if isinstance(table, HpcsTable):
        from keyrack.adapters.key_managers.ibm.hpcs import Hpcs  # noqa: PLC0415

        return Hpcs(settings)
    from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect  # noqa: PLC0415

    return KeyProtect(settings)


def _source(config: Config, iam: Iam, where: str) -> ApiKey | TrustedProfile | TokenFile:
    if iam.api_key_credential is not None:
        key = f"{where}.api_key_credential"
        return ApiKey(_secret_file(credential(iam.api_key_credential, key), key))
    if iam.api_key_file is not None:
        return ApiKey(_secret_file(config.path(iam.api_key_file), f"{where}.api_key_file"))
    if iam.token_file is not None:
        return TokenFile(_secret_file(config.path(iam.token_file), f"{where}.token_file"))
    # Platforms write the compute resource's token as they like; it is worth nothing elsewhere and soon nothing at all.
    token = config.path(iam.cr_token_file or Path())
    _mode_of(token, f"{where}.cr_token_file")
    return TrustedProfile(iam.trusted_profile or "", token)


def _secret_file(path: Path, where: str) -> Path:
    # As of a keystore's key file: a service manager's credentials are 0440 in a directory that only the service enters.
    if _mode_of(path, where) & 0o037:
        told = Problem(
            where=where,
            what=f"{path} is open to other users",
            why="who reads it may do there what Keyrack may",
            instead=f"chmod 600 {path}",
        )
        raise ConfigError([told])
    return path


def _mode_of(path: Path, where: str) -> int:
    try:
        with open(path, "rb", buffering=0) as file:
            found = os.fstat(file.fileno()).st_mode
    except OSError as error:
        raise ConfigError([_unreadable(path, where, error)]) from error
    return stat.S_IMODE(found)


def _unreadable(path: Path, where: str, error: OSError) -> Problem:
    why = (error.strerror or "unknown").lower()
    return Problem(
        where=where, what=f"{path} cannot be read", why=why, instead="correct the path, or put the file back"
    )


def _bundle_problem(path: Path, where: str) -> Problem | None:
    try:
        ssl.create_default_context(cafile=str(path))
    except ssl.SSLError:
        return Problem(
            where=where,
            what=f"{path} cannot be used",
            why="it holds no certificates in PEM",
            instead="write the authorities that are to be trusted into it, each with its BEGIN CERTIFICATE",
        )
    except OSError as error:
        return _unreadable(path, where, error)
    return None
