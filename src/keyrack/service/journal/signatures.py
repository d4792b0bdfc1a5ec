"""Whether a checkpoint's signature is one of the key that the checkpoint names."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from keyrack.domain.checkpoints import SignedCheckpoint


def is_signed(signed: SignedCheckpoint, public: str) -> bool:
    """Whether the key of this public part, 32 bytes in hexadecimal, has signed exactly this text."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signed.signature, signed.text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
