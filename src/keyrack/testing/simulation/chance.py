"""Where the simulation's chance comes from: streams by name, so that what one part draws moves no other part."""

from collections.abc import Callable
from contextvars import ContextVar
from random import Random

from keyrack.domain.secret import Randomness, Secret

_MATERIAL = 32
_DRAWN: ContextVar[bytes] = ContextVar("drawn", default=b"")


def stream(seed: int, name: str) -> Random:
    """Random numbers that the seed and a name decide, and nothing else."""
    return Random(f"{seed}/{name}")


class Minting(Randomness):
    """The randomness that the service is given. It knows which key material was made for which identifier."""

    def __init__(self, random: Random) -> None:
        """Draw from ``random``."""
        self._octets: Callable[[int], bytes] = random.randbytes
        super().__init__(self._draw)
        self.minted: dict[str, bytes] = {}
        """By identifier: the material that was drawn last, in the same task, before the identifier was."""

    def _draw(self, material: bytearray) -> None:
        material[:] = self._octets(len(material))

    def secret(self, length: int) -> Secret:
        """Remembered for the identifier that comes next."""
        material = self._octets(length)
        if length == _MATERIAL:
            _DRAWN.set(material)
        return Secret(bytearray(material))

    def identifier(self) -> str:
        """A random UUID, which the material drawn before belongs to."""
        identifier = super().identifier()
        self.minted[identifier] = _DRAWN.get()
        return identifier
