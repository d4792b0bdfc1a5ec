"""Every act that can wait for a second person, by the journal's name of it.

A use case that is listed here takes ``consent``, and asks ``approvals.agreed`` before its unit; how to add one is told
in ``service.office.approvals``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from keyrack.domain.approvals import Approval
from keyrack.domain.rights import Right
from keyrack.ports.key_affairs import KeyRow
from keyrack.service.moves.moving import change_root_key
from keyrack.service.moves.successors import Ground
from keyrack.service.office import instance_rules, key_acts, safe_removal
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import Act, Consent, Do, KeyCatalog
from keyrack.service.office.client_removal import distrust, take_away
from keyrack.service.office.key_steps import keys_of
from keyrack.service.office.keys import Windows
from keyrack.service.office.refusals import NotThere, Refused


def acts(windows: Windows) -> Mapping[str, Act]:
    """The table; ``windows`` are the configured ones of destroyed keys."""
    return {
        "key.destroy": Act(right=Right.KEY_DESTROY, do=_ending(key_acts.destroy, windows)),
        "key.purge": Act(right=Right.KEY_PURGE, do=_ending(key_acts.purge, windows)),
        "instance.remove": Act(right=Right.INSTANCE_REMOVE, do=_removing_instance),
        "instance.quotas": Act(right=Right.INSTANCE_QUOTA, do=_setting_quotas),
        "instance.dual-control": Act(right=Right.INSTANCE_QUOTA, do=_letting_one_decide),
        "certificate.remove": Act(right=Right.CERTIFICATE_REMOVE, do=_removing_last_certificate),
        "authority.remove": Act(right=Right.AUTHORITY_CHANGE, do=_removing_last_authority),
        "instance.root-key": Act(right=Right.INSTANCE_CHANGE, do=_changing_root_key, needs_key_managers=True),
    }


def _ending(end: Callable[..., Awaitable[Sequence[KeyRow]]], windows: Windows) -> Do:
    """Destroys or purges keys, by their use case."""

    async def do(
        administration: Administration,
        catalog: KeyCatalog,
        approval: Approval,
        consent: Consent,
        confirmation: str | None,
    ) -> None:
        await end(
            administration,
            catalog,
            await administration.instance(approval.instance),
            keys_of(approval.arguments),
            windows=windows,
            why=str(approval.arguments.get("why", "")),
            confirmation=confirmation,
            consent=consent,
        )

    return do


async def _removing_instance(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    await safe_removal.remove(administration, catalog, approval.instance, consent=consent)


async def _removing_last_certificate(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    instance = await administration.instance(approval.instance)
    await take_away(
        administration, catalog, instance, approval.target, confirmation=confirmation or instance.name, consent=consent
    )


async def _removing_last_authority(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    instance = await administration.instance(approval.instance)
    held = await catalog.authorities(instance.identifier)
    authority = next((each for each in held if each.fingerprint == approval.target), None)
    if authority is None:
        raise NotThere("the authority is gone already")
    words = confirmation or instance.name
    await distrust(administration, catalog, instance, authority, confirmation=words, consent=consent)


async def _setting_quotas(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    wanted = {what: int(number) for what, number in approval.arguments.items() if not what.startswith("former_")}
    await instance_rules.set_quotas(
        administration,
        catalog,
        approval.instance,
        keys=wanted.get("keys"),
        certificates=wanted.get("certificates"),
        requests=wanted.get("requests"),
        consent=consent,
    )


async def _letting_one_decide(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    await instance_rules.let_one_decide(administration, catalog, approval.instance, consent=consent)


async def _changing_root_key(
    administration: Administration, catalog: KeyCatalog, approval: Approval, consent: Consent, confirmation: str | None
) -> None:
    """The change is agreed to with its first step; what keys are left to move then goes on without asking again."""
    if administration.vault is None:
        raise Refused("a root key is changed where the key managers are: with 'keyrack approval agree' at the machine")
    ground = Ground(
        catalog=catalog,
        vault=administration.vault,
        key_managers=administration.key_managers,
        administration=administration,
        clock=lambda: administration.now * 1000,
    )
    await change_root_key(
        ground,
        await administration.instance(approval.instance),
        str(approval.arguments["root_key"]),
        key_manager=str(approval.arguments["key_manager"]),
        book=catalog,
        consent=consent,
    )
