"""What a ciphertext of a root key is bound to, as the associated data of AES-GCM."""

import hashlib

from keyrack.embedded.root_keys.port import VersionName


def associated(version: VersionName, bound: bytes) -> bytes:
    """32 bytes that no other version and no other ``bound`` give.

    The version counts too, since two may have the same imported material. It is a digest, because HSMs take associated
    data of different lengths; and every keeper binds in this one way, so that a ciphertext still opens after the
    material has moved from the software into an HSM.
    """
    digest = hashlib.sha256(b"keyrack ciphertext v2")
    for part in (version.instance.encode(), version.key.encode(), version.version.encode(), bound):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()
