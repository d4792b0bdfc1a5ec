"""Every act that can wait for a second person, by the journal's name of it.

A use case that is listed here takes ``consent``, and asks ``approvals.agreed`` before its unit; how to add one is told
in ``service.office.approvals``.
"""

from collections.abc import Mapping

from keyrack.domain.approvals import Approval
from keyrack.domain.rights import Right
from keyrack.service.office import key_acts
from keyrack.service.office.administration import Administration
from keyrack.service.office.approvals import Act, Consent, Do, KeyCatalog
from keyrack.service.office.key_steps import keys_of
from keyrack.service.office.keys import Windows


def acts(windows: Windows) -> Mapping[str, Act]:
    """The table; ``windows`` are the configured ones of destroyed keys."""
    return {
        "key.destroy": Act(right=Right.KEY_DESTROY, do=_destroying(windows)),
        "key.purge": Act(right=Right.KEY_PURGE, do=_purging(windows)),
    }


def _destroying(windows: Windows) -> Do:
    async def do(
        administration: Administration,
        catalog: KeyCatalog,
        approval: Approval,
        consent: Consent,
        confirmation: str | None,
    ) -> None:
        await key_acts.destroy(
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


def _purging(windows: Windows) -> Do:
    async def do(
        administration: Administration,
        catalog: KeyCatalog,
        approval: Approval,
        consent: Consent,
        confirmation: str | None,
    ) -> None:
        await key_acts.purge(
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
