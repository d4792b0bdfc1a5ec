"""Trusted authorities of the catalog in memory: what KMIP needs of them, and nothing of those that knocked."""

from collections.abc import Sequence
from dataclasses import replace

from keyrack.domain.instances import Admittance, TrustedAuthority
from keyrack.ports.admissions import AdmissionChanges
from keyrack.ports.catalog import AlreadyThere


class MemoryAdmissions:
    """Authorities and barred leaves, in a list and a set."""

    def __init__(self) -> None:
        """Trust no authority."""
        self._trusted: list[TrustedAuthority] = []
        self._barred: set[tuple[str, str]] = set()
        self._last = 0

    def authorities(self, instance: str | None = None) -> Sequence[TrustedAuthority]:
        """Oldest first."""
        return [each for each in self._trusted if instance in {None, each.instance}]

    def barred(self, instance: str | None = None) -> Sequence[tuple[str, str]]:
        """Instance and fingerprint of each."""
        return sorted(each for each in self._barred if instance in {None, each[0]})

    def admits(self, fingerprint: str, admittance: Admittance) -> bool:
        """Whether this act of trust stands, and the leaf is not barred."""
        wanted = (admittance.number, admittance.instance, admittance.authority)
        stands = any((each.number, each.instance, each.fingerprint) == wanted for each in self._trusted)
        return stands and (admittance.instance, fingerprint) not in self._barred

    def check(self, changes: AdmissionChanges) -> None:
        """Raise ``AlreadyThere`` for what is trusted already, and ``TypeError`` for what is not kept here."""
        if changes.seen or changes.forgotten or changes.alarms:
            raise TypeError("the catalog in memory keeps no certificates that knocked, and no alarms")
        held = [each for each in self._trusted if (each.instance, each.fingerprint) not in changes.removed_authorities]
        for authority in changes.authorities:
            for each in held:
                same = each.fingerprint == authority.fingerprint or each.name == authority.name
                if same and each.instance == authority.instance:
                    raise AlreadyThere("the instance trusts this authority already, or another one has its name")

    def write(self, changes: AdmissionChanges) -> None:
        """What :meth:`check` has allowed."""
        self._trusted = [
            each for each in self._trusted if (each.instance, each.fingerprint) not in changes.removed_authorities
        ]
        for authority in changes.authorities:
            self._last += 1
            self._trusted.append(replace(authority, number=self._last))
        self._barred |= set(changes.barred)
        self._barred -= set(changes.unbarred)

    def remove_instance(self, instance: str) -> None:
        """With the instance everything goes that was trusted for it."""
        self._trusted = [each for each in self._trusted if each.instance != instance]
        self._barred = {each for each in self._barred if each[0] != instance}
