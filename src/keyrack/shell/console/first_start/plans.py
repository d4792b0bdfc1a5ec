"""From what was typed to what is made: the plan that ``keyrack init`` makes of its options."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from keyrack.domain.secret import Secret
from keyrack.embedded.root_keys.unlock import Passphrase
from keyrack.shell import ibm_tables, planning
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.draft import Draft
from keyrack.shell.deployment import FirstInstance, Plan, embedded_tables
from keyrack.shell.protections import (
    Protection,
    by_hsm,
    by_key_file,
    by_passphrase,
    by_people,
    strong,
)
from keyrack.shell.sealed.openers import first_line

DATABASE_PASSWORD: Final = "catalog.password"
"""The file of PostgreSQL's password, in the directory."""
WAY_PASSWORD: Final = "password"
SQLITE: Final = "sqlite"


def plan_of_name(desk: Desk) -> Plan:
    """What the first step says, and nothing else yet."""
    draft = desk.draft
    return Plan(
        deployment=draft["deployment"],
        directory=draft.directory,
        config=desk.config_for(draft.directory),
        names=planning.listed(draft["names"]),
        host=draft["host"],
        port=_number(draft["port"]),
        api_host=draft["api_host"],
        api_port=_number(draft["api_port"]),
        key_manager="",
        by=desk.asked.by,
    )


def plan_of(desk: Desk, protection: Protection | None) -> Plan:
    """All of it; ``protection`` opens the keystore, where there is to be one."""
    draft, plan = desk.draft, plan_of_name(desk)
    secrets: dict[str, Secret] = {}
    if draft["catalog"] != SQLITE:
        password = draft.copy_of("catalog_password", line=True)
        plan = replace(
            plan,
            catalog_url=draft["catalog_url"],
            catalog_password_file=plan.directory / DATABASE_PASSWORD if password else None,
        )
        secrets |= {DATABASE_PASSWORD: password} if password else {}
    if draft.at_ibm and (api_key := draft.copy_of("api_key", line=True)) is not None:
        secrets[ibm_tables.API_KEY] = api_key
    by_password = draft["way"] == WAY_PASSWORD
    return replace(
        plan,
        key_manager=_tables(draft, protection),
        opener=protection.opener if protection else None,
        first_person=draft["first_person"].lower() if by_password else None,
        password=draft.copy_of("password") if by_password else None,
        instance=FirstInstance(draft["instance"], draft["root_key"] or None) if draft["instance"] else None,
        secrets=secrets,
    )


def protection_of(draft: Draft, directory: Path) -> Protection:
    """What opens the keystore, as the third step says; raises ``Unusable``, ``KeystoreError`` and ``OSError``."""
    kind = draft["protect"]
    if kind == "hsm":
        return by_hsm(Path(draft["hsm"]), draft["token"], Path(draft["pin_file"]))
    if kind == "passphrase":
        file = Path(draft["passphrase_file"]).expanduser()
        return by_passphrase(Passphrase(Secret(strong(first_line(file)))), file)
    if kind == "unseal":
        typed = draft.copy_of("passphrase") or Secret(bytearray())
        return by_people(Passphrase(Secret(strong(typed.reveal()))))
    return by_key_file(directory)


def let_go(protection: Protection) -> None:
    """Forget a passphrase, and let go of an HSM."""
    if isinstance(protection.opener, Passphrase):
        protection.opener.wipe()
    protection.close()


def _tables(draft: Draft, protection: Protection | None) -> str:
    if protection is not None:
        return embedded_tables(protection.unlock, protection.hsm)
    return ibm_tables.tables_of(draft["key_manager"], draft.ibm_options())


def _number(port: str) -> int:
    return int(port) if port.isdecimal() else 0
