"""python-pkcs11 with a token and nothing around it, in a process of its own: one thread, one session, one key.

    SOFTHSM2_CONF=... python bench/pkcs11_peer.py LIBRARY TOKEN PIN gcm|kwp BYTES

For each line ``wrap SECONDS`` or ``unwrap SECONDS`` on its input it prints one line of JSON: operations, elapsed, cpu.
"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import pkcs11
from bench.measured import again
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass

_PASSING = {Attribute.TOKEN: False, Attribute.SENSITIVE: False, Attribute.EXTRACTABLE: True}
_BOUND = os.urandom(32)


def gcm(key: Any, plaintext: bytes) -> tuple[Callable[[], object], Callable[[], object]]:
    """Wrap and unwrap by AES-GCM."""

    def wrap() -> tuple[bytes, bytes]:
        nonce = os.urandom(12)
        told = GCMParams(nonce, _BOUND, 128)
        return nonce, key.encrypt(plaintext, mechanism=Mechanism.AES_GCM, mechanism_param=told)

    nonce, ciphertext = wrap()

    def unwrap() -> object:
        told = GCMParams(nonce, _BOUND, 128)
        return key.decrypt(ciphertext, mechanism=Mechanism.AES_GCM, mechanism_param=told)

    return wrap, unwrap


def kwp(key: Any, plaintext: bytes) -> tuple[Callable[[], object], Callable[[], object]]:
    """Wrap and unwrap by AES key wrap with padding: what is wrapped has to be a key of the session."""

    def wrap() -> bytes:
        kind = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.GENERIC_SECRET}
        passing = key.session.create_object({**kind, Attribute.VALUE: plaintext, **_PASSING})
        try:
            return bytes(key.wrap_key(passing, mechanism=Mechanism.AES_KEY_WRAP_PAD))
        finally:
            passing.destroy()

    ciphertext = wrap()

    def unwrap() -> object:
        passing = key.unwrap_key(
            ObjectClass.SECRET_KEY,
            KeyType.GENERIC_SECRET,
            ciphertext,
            mechanism=Mechanism.AES_KEY_WRAP_PAD,
            capabilities=MechanismFlag(0),
            template=_PASSING,
        )
        try:
            return passing[Attribute.VALUE]
        finally:
            passing.destroy()

    return wrap, unwrap


WAYS = {
    "gcm": (gcm, MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT),
    "kwp": (kwp, MechanismFlag.WRAP | MechanismFlag.UNWRAP),
}


def main() -> None:
    library, label, pin, way, size = sys.argv[1:]
    make, uses = WAYS[way]
    with pkcs11.lib(library).get_token(token_label=label).open(rw=True, user_pin=pin) as session:
        key = session.generate_key(KeyType.AES, 256, label="peer", store=True, capabilities=uses)
        wrap, unwrap = make(key, os.urandom(int(size)))
        print("ready", flush=True)
        for line in sys.stdin:
            word, seconds = line.split()
            spent = again(wrap if word == "wrap" else unwrap, float(seconds))
            p99 = spent.waits[len(spent.waits) * 99 // 100]
            told = {"operations": spent.operations, "elapsed": spent.elapsed, "cpu": spent.cpu, "p99": p99}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
