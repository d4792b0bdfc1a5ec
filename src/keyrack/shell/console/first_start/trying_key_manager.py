"""The third step tried out: a keystore that is made, used and thrown away, or an instance at IBM that is really asked.

With what ``keyrack key-manager check`` tries, so that nothing is met later that could have been met here.
"""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from keyrack.adapters.key_managers.embedded import EmbeddedKeyManager
from keyrack.domain.secret import Secret
from keyrack.embedded import files
from keyrack.embedded.errors import KeeperUnavailable, KeystoreError
from keyrack.embedded.root_keys.token_unlock import TokenUnlock
from keyrack.embedded.root_keys.unlock import KeyFile
from keyrack.ports.key_manager import Checked, ChecksItself, KeyManagerFailed, RootKeyAdministration, Verdict
from keyrack.service.health.trial import trial
from keyrack.service.office.installing import check_instance_name
from keyrack.service.office.refusals import Refused, Unusable
from keyrack.shell.config.problems import ConfigError, Problem
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.draft import Draft
from keyrack.shell.console.first_start.plans import let_go, protection_of
from keyrack.shell.console.first_start.tried import Tried, checked, failed, refused, remark, well
from keyrack.shell.console.first_start.trying_name import nearest
from keyrack.shell.console.words import mark
from keyrack.shell.diagnosis import PATIENCE
from keyrack.shell.ibm import open_ibm, settings_of
from keyrack.shell.ibm_tables import API_KEY, NAME, configured, tables_of
from keyrack.shell.protections import KINDS, Protection

if TYPE_CHECKING:
    from keyrack.adapters.key_managers.registry import Configured

KEYSTORE, HSM, FILE, INSTANCE, KEY = (
    mark("Keystore"),
    mark("HSM"),
    mark("File of the passphrase"),
    mark("First instance"),
    mark("API key"),
)
ACTIVE: Final = 1
_AT: Final[Mapping[str, str]] = {
    "address and TLS": "region",
    "identity": "api_key",
    "reading": "kms_instance",
    "root key": "root_key",
    "wrap and unwrap": "root_key",
}
"""The field that each step of IBM's check is about, where it is about one."""
_MISSING: Final[Mapping[str, str]] = {
    "kms_instance": mark("IBM gives each instance an ID (GUID): it is needed here"),
    "region": mark("choose the region of the instance, or write its address below"),
}


async def try_key_manager(desk: Desk) -> Sequence[Tried]:
    """Everything that Keyrack will ask of it; nothing of the trial stays."""
    draft = desk.draft
    found = [*_named(draft["instance"])]
    draft.root_keys = ()
    try:
        async with asyncio.timeout(PATIENCE):
            found += await (_at_ibm(draft) if draft.at_ibm else _here(draft))
    except TimeoutError:
        told = mark("it was not tried out to the end within %(seconds)s seconds")
        found.append(failed(KEYSTORE, told, "key_manager", values={"seconds": round(PATIENCE)}))
    return found


def _named(instance: str) -> Sequence[Tried]:
    try:
        if instance:
            check_instance_name(instance)
    except Refused as error:
        return [refused(INSTANCE, error, "instance")]
    return []


async def _here(draft: Draft) -> Sequence[Tried]:
    if wrong := _incomplete(draft):
        return wrong
    where = {"hsm": "hsm", "passphrase": "passphrase_file", "unseal": "passphrase"}.get(draft["protect"], "protect")
    try:
        with tempfile.TemporaryDirectory(prefix=".keyrack-trial-", dir=nearest(draft.directory)) as place:
            protection = await asyncio.to_thread(protection_of, draft, Path(place))
            try:
                found = await (_hsm(protection) if draft["protect"] == "hsm" else _keystore(Path(place), protection))
            finally:
                await asyncio.to_thread(let_go, protection)
    except Unusable as error:
        return [refused(KEYSTORE, error, where)]
    except (KeystoreError, KeyManagerFailed, OSError) as error:
        return [failed(KEYSTORE, str(error), where)]
    return [*found, *_open_to_others(draft)]


def _incomplete(draft: Draft) -> Sequence[Tried]:
    """What is wrong before anything is asked."""
    kind = draft["protect"]
    if kind not in KINDS:
        return [failed(KEYSTORE, mark("choose what opens the keystore"), "protect")]
    if kind == "unseal" and "passphrase" in draft.differ:
        return [failed(KEYSTORE, mark("the two passphrases are not the same"), "passphrase")]
    needed = {"hsm": ("hsm", "token", "pin_file"), "passphrase": ("passphrase_file",)}.get(kind, ())
    return [failed(KEYSTORE, mark("it is needed here"), name) for name in needed if not draft[name]]


async def _keystore(place: Path, protection: Protection) -> Sequence[Tried]:
    """Make one, wrap, unwrap and keep with it; the directory is taken away afterwards."""

    def make() -> EmbeddedKeyManager:
        if isinstance(protection.opener, KeyFile):
            protection.opener.create()
        return EmbeddedKeyManager.create(place / "keystore", protection.opener)

    began = time.perf_counter()
    manager = await asyncio.to_thread(make)
    took = round(1000 * (time.perf_counter() - began))
    try:
        root_key = await manager.create_root_key("trial")
        steps = [each async for each in trial(manager, root_key.identifier, write=True)]
    finally:
        await manager.close()
    told = mark("one was made, opened and removed; making it took %(milliseconds)s ms")
    return [well(KEYSTORE, told, milliseconds=took), *(checked(each, "protect") for each in steps)]


async def _hsm(protection: Protection) -> Sequence[Tried]:
    """Log in to the token; a keystore that is tried out would leave a key in it."""
    assert isinstance(protection.opener, TokenUnlock), protection.kind
    began = time.perf_counter()
    try:
        await asyncio.to_thread(protection.opener.keeper.probe)
    except KeeperUnavailable as error:
        return [failed(HSM, str(error), "hsm")]
    took = round(1000 * (time.perf_counter() - began))
    return [well(HSM, mark("the token answers and takes the PIN, in %(milliseconds)s ms"), milliseconds=took)]


def _open_to_others(draft: Draft) -> Sequence[Tried]:
    name = {"hsm": "pin_file", "passphrase": "passphrase_file"}.get(draft["protect"])
    file = Path(draft[name or ""]).expanduser()
    if name is None or not file.is_file() or not file.stat().st_mode & 0o007:
        return []
    told = mark("others on this machine can read %(path)s: chmod 600 it")
    return [remark(FILE, told, path=draft[name])]


async def _at_ibm(draft: Draft) -> Sequence[Tried]:
    needed = ("kms_instance",) if draft["url"] else ("region", "kms_instance")
    if missing := [failed(KEY, _MISSING[name], name) for name in needed if not draft[name]]:
        return missing
    api_key = draft.copy_of("api_key", line=True)
    if api_key is None:
        return [failed(KEY, mark("type the API key of a service ID that may use the instance"), "api_key")]
    with api_key:
        try:
            async with _opened(draft, api_key) as manager:
                return [each async for each in _asked(draft, manager)]
        except ConfigError as error:
            return [_misconfigured(each) for each in error.problems]


@contextlib.asynccontextmanager
async def _opened(draft: Draft, api_key: Secret) -> AsyncIterator["Configured"]:
    """As it will be configured, but for the file of the API key, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="keyrack-trial-") as place:
        file = Path(place) / API_KEY
        files.create(file, api_key.reveal())
        config = configured(tables_of(draft["key_manager"], draft.ibm_options(file)))
        table = config.of_ibm[NAME]
        manager = open_ibm(settings_of(config, NAME, table), table)
        try:
            yield manager
        finally:
            await manager.close()


async def _asked(draft: Draft, manager: "Configured") -> AsyncIterator[Tried]:
    steps: list[Checked] = []
    assert isinstance(manager, ChecksItself)
    async for each in manager.check(draft["root_key"] or None, write=True):
        steps.append(each)
        at = _AT.get(each.what, "")
        yield checked(each, "url" if at == "region" and draft["url"] else at)
    if any(each.what == "reading" and each.verdict is Verdict.FAILED for each in steps):
        return
    assert isinstance(manager, RootKeyAdministration)
    with contextlib.suppress(KeyManagerFailed):
        draft.root_keys = await manager.list_root_keys()


def _misconfigured(problem: Problem) -> Tried:
    """A mistake in the tables, beside the field of what it is about."""
    at = problem.where.rpartition(": ")[2].removeprefix(f"key_managers.{NAME}").strip(".")
    field = {"instance": "kms_instance", "iam.url": "iam_url", "iam": "api_key"}.get(at, at) or "region"
    what = f"{problem.what}: {problem.why}" if problem.why else problem.what
    return failed(KEY, what, field, hint=problem.instead)
