"""The unit of work: what one batch item, or one whole batch that is undone together, has seen and changes."""

from collections.abc import Sequence

from keyrack.domain.instances import Instance, Principal
from keyrack.domain.journal import Entry
from keyrack.domain.objects import ManagedObject
from keyrack.domain.secret import Secret
from keyrack.ports.catalog import Unit


class Work:
    """Gathers changes until they are committed whole; what it has changed, it sees."""

    __slots__ = (
        "entries",
        "forgotten",
        "inserted",
        "instance",
        "intended",
        "new_names",
        "principal",
        "secrets",
        "seen",
        "updated",
    )

    def __init__(self, principal: Principal) -> None:
        """Begin with nothing, on the authority of ``principal``."""
        self.principal = principal
        self.seen: dict[str, int] = {}
        self.inserted: dict[str, ManagedObject] = {}
        self.updated: dict[str, ManagedObject] = {}
        self.instance: Instance | None = None
        """The instance as something was sealed for it: it has to be so still when that is committed."""
        self.entries: list[Entry] = []
        self.new_names: list[str] = []
        self.intended: dict[str, ManagedObject] = {}
        """New objects of which the key manager may have a standard key: taken back if the work comes to nothing."""
        self.forgotten: list[str] = []
        self.secrets: list[Secret] = []

    def known(self, unique_identifier: str) -> ManagedObject | None:
        """The object as this work has changed it, or ``None`` where it has not."""
        return self.updated.get(unique_identifier) or self.inserted.get(unique_identifier)

    def saw(self, managed: ManagedObject) -> None:
        """Note the version that a decision is made on; the commit fails if another change came first."""
        self.seen.setdefault(managed.unique_identifier, managed.version)

    def insert(self, managed: ManagedObject) -> None:
        """Add a new object."""
        self.inserted[managed.unique_identifier] = managed

    def change(self, managed: ManagedObject) -> None:
        """Put the new value of an object in the place of the old."""
        kept = self.inserted if managed.unique_identifier in self.inserted else self.updated
        kept[managed.unique_identifier] = managed

    def changes(self) -> Sequence[ManagedObject]:
        """Every object that this work adds or changes."""
        return (*self.inserted.values(), *self.updated.values())

    def unit(self) -> Unit:
        """Everything as one unit for the catalog."""
        return Unit(
            principal=self.principal,
            seen=self.seen,
            seen_instances=(self.instance,) if self.instance else (),
            inserted=tuple(self.inserted.values()),
            updated=tuple(self.updated.values()),
            new_names=self.new_names,
            entries=self.entries,
        )

    def wipe(self) -> None:
        """Wipe the key material that was made for this work."""
        for secret in self.secrets:
            secret.wipe()
        self.secrets.clear()
