"""Key material in memory: a type that does not print, pickle, copy or compare carelessly, and that can be wiped."""

import ctypes
import errno
import hmac
from collections.abc import Callable
from types import TracebackType
from typing import Final, NoReturn, Self
from uuid import UUID


class Secret:
    """A piece of key material, of a length in bytes, that lives in one ``bytearray`` until it is wiped.

    Only :meth:`reveal` hands out the bytes, and it hands out the one array, never a copy: who copies it into an
    immutable ``bytes`` leaves a residue that nothing can clear.
    """

    __slots__ = ("_material",)

    def __init__(self, material: bytearray) -> None:
        """Take ownership of ``material``; the caller keeps no other use of it."""
        if not isinstance(material, bytearray):
            raise TypeError("key material must be a bytearray, so that it can be wiped")
        self._material = material

    def reveal(self) -> bytearray:
        """The material itself. Not a copy: wiping the secret wipes what was handed out."""
        return self._material

    def wipe(self) -> None:
        """Overwrite the material with zeros in place and forget its length; harmless when repeated."""
        wipe(self._material)
        self._material = bytearray()

    def matches(self, other: "Secret") -> bool:
        """Whether both hold the same bytes, in a time that does not tell where they differ."""
        return hmac.compare_digest(self._material, other._material)

    def __len__(self) -> int:
        return len(self._material)

    def __repr__(self) -> str:
        return f"<Secret {len(self._material)} bytes>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wipe()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a Secret is never pickled or copied")

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare secrets with Secret.matches()")


def wipe(material: bytearray | memoryview) -> None:
    """Overwrite a writable buffer of bytes with zeros, in place: an assignment of the same length moves nothing."""
    material[:] = bytes(len(material))


def overwrite(data: bytes) -> None:
    """Overwrite ``bytes`` in place, which Python does not want: only for what came in from outside and nobody keeps.

    A request message may hold a key, and the ``bytes`` that it came in would stay readable in freed memory.
    """
    if len(data) > 1:  # Python shares the shorter ones among all
        ctypes.memset(id(data) + _BYTES_HEAD, 0, len(data))


_BYTES_HEAD = bytes.__basicsize__ - 1
"""Where the content of a ``bytes`` object begins in it; one byte is counted for the zero that ends it."""


def randomize(material: bytearray) -> None:
    """Fill a buffer with random bytes of the operating system (getrandom, which waits for its seed after a boot).

    ``os.urandom`` would give ``bytes``, a copy of the key that nothing can clear; this writes in place.
    """
    filled = 0
    while filled < len(material):
        window = (ctypes.c_char * (len(material) - filled)).from_buffer(material, filled)
        drawn = _getrandom(window, len(window), 0)
        if drawn < 0 and ctypes.get_errno() != errno.EINTR:
            raise OSError(ctypes.get_errno(), "the operating system gives no random bytes")
        filled += max(drawn, 0)


def _from_urandom(window: "ctypes.Array[ctypes.c_char]", length: int, flags: int) -> int:
    """For systems without getrandom: in place as well, through the device."""
    with open("/dev/urandom", "rb", buffering=0) as device:
        return device.readinto(window) or 0


_getrandom: Callable[["ctypes.Array[ctypes.c_char]", int, int], int] = getattr(
    ctypes.CDLL(None, use_errno=True), "getrandom", _from_urandom
)


class Randomness:
    """Where key material, identifiers and nonces come from. One source serves a process; a simulation gives its own."""

    def __init__(self, fill: Callable[[bytearray], None] = randomize) -> None:
        """``fill`` fills a buffer with random bytes, in place."""
        self._fill = fill

    def secret(self, length: int) -> Secret:
        """``length`` random bytes that never were anywhere but in the secret."""
        material = bytearray(length)
        self._fill(material)
        return Secret(material)

    def octets(self, length: int) -> bytes:
        """``length`` random bytes that are no secret, as a nonce is none."""
        octets = bytearray(length)
        self._fill(octets)
        return bytes(octets)

    def identifier(self) -> str:
        """A random UUID."""
        return str(UUID(bytes=self.octets(16), version=4))


SYSTEM: Final = Randomness()
"""The operating system's."""
