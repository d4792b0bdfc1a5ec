"""A process that unwraps and wraps keys it was never told otherwise, for a test that then searches its memory.

``python ibm_residue_child.py URL AUTHORITY API_KEY_FILE INSTANCE ROOT_KEY CIPHERTEXTS``: says "held" with all keys
unwrapped and not wiped yet, waits for a line, then says "wiped" when all are, and waits for another one.
"""

import asyncio
import gc
import sys
from collections.abc import Sequence
from pathlib import Path

from keyrack.adapters.key_managers.ibm.key_protect import KeyProtect
from keyrack.adapters.key_managers.ibm.settings import ApiKey, IamSettings, Settings
from keyrack.domain.secret import Secret

AAD = ("residue", "test")


async def main(words: Sequence[str]) -> None:
    """Do it all."""
    url, authority, api_key, instance, root_key, ciphertexts = words
    settings = Settings(
        name="residue",
        url=url,
        instance=instance,
        iam=IamSettings(source=ApiKey(Path(api_key)), url=url),
        ca_bundle=Path(authority),
        answer_seconds=20,
        waiting=1000,
    )
    manager = KeyProtect(settings)
    given = Path(ciphertexts).read_bytes().splitlines()

    async def there_and_back(ciphertext: bytes) -> Secret:
        """Unwrap, wrap what came, and unwrap that."""
        with (await manager.unwrap(root_key, ciphertext, AAD)).plaintext as first:
            again = await manager.wrap(root_key, first, AAD)
        return (await manager.unwrap(root_key, again.ciphertext, AAD)).plaintext

    # One after the other, and many at the same time: connections are used again, and new ones are made.
    held = [await there_and_back(ciphertext) for ciphertext in given[:50]]
    held += await asyncio.gather(*(there_and_back(ciphertext) for ciphertext in given[50:]))
    await tell("held")
    for secret in held:
        secret.wipe()
    gc.collect()
    await tell("wiped")
    await manager.close()


async def tell(word: str) -> None:
    """Say it and wait; the connections stay open meanwhile."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
