"""What a handler may ask of the desk while it works: the only door from the verbs to the world."""

from collections.abc import Callable
from typing import Protocol

from keyrack.domain.instances import Instance
from keyrack.domain.objects import ManagedObject
from keyrack.domain.search import Narrowing
from keyrack.domain.secret import Secret
from keyrack.spec.versions import ProtocolVersion


class Context(Protocol):
    """One batch item's surroundings.

    Everything that a handler changes is gathered and committed whole, together with the journal's entry, after the
    handler has answered and before the answer leaves; a handler that raises changes nothing.
    """

    @property
    def version(self) -> ProtocolVersion:
        """The request's protocol version: nothing newer exists for this client."""
        ...

    @property
    def now(self) -> int:
        """The time of the request, in seconds since 1970, UTC."""
        ...

    @property
    def instance(self) -> Instance:
        """The instance that the client's certificate means."""
        ...

    def new_identifier(self) -> str:
        """A Unique Identifier that was never used."""
        ...

    def generate(self, length: int) -> Secret:
        """``length`` random bytes of key material; the context wipes them when the request is done."""
        ...

    async def find(self, unique_identifier: str) -> ManagedObject:
        """The object as it is now; raises ``ItemNotFound``, for a foreign object as for an absent one."""
        ...

    async def search(self, narrowing: Narrowing, decide: Callable[[ManagedObject], bool]) -> list[ManagedObject]:
        """Objects of the instance that ``decide`` accepts, newest first; ``narrowing`` shortens the look-up."""
        ...

    async def name_taken(self, name: str, besides: str) -> bool:
        """Whether an object of the instance, other than the one with the identifier ``besides``, bears the name."""
        ...

    async def add(self, managed: ManagedObject, material: Secret) -> None:
        """Seal the material under the customer root key and make the object part of this request's change."""
        ...

    def keep(self, managed: ManagedObject) -> None:
        """Make an object that has no material, a template, part of this request's change."""
        ...

    def change(self, managed: ManagedObject) -> None:
        """Make the new value of an object, one version on, part of this request's change."""
        ...

    async def open(self, managed: ManagedObject) -> Secret:
        """The object's material in clear; it stays the vault's, the handler neither wipes nor keeps it."""
        ...

    def forget(self, unique_identifier: str) -> None:
        """Wipe the object's material from the cache once the change is committed: it was destroyed."""
        ...
