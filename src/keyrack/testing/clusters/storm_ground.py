"""What a storm needs of two nodes: a client, and keys that it knows; and the storm over them."""

import hashlib
import signal
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from keyrack.spec.enumerations import Operation
from keyrack.spec.tags import Tag
from keyrack.testing.client import Client
from keyrack.testing.clusters.messages import new_key
from keyrack.testing.clusters.rig import Rig
from keyrack.testing.clusters.storm import Ground, Storm, storm
from keyrack.testing.ledger import material
from keyrack.testing.ttlv import text

HOST: Final = "storm-host"
_AT_ONCE: Final = 4


def grown(rig: Rig, keys: int) -> Ground:
    """So many new keys, and the client :data:`HOST`, which was let in before; both nodes serve."""
    shares = [keys // _AT_ONCE + (number < keys % _AT_ONCE) for number in range(_AT_ONCE)]

    def make(share: int) -> list[tuple[str, str]]:
        with Client(rig.nodes[0].address, rig.context(HOST), timeout=30) as client:
            return [_made(client) for _ in range(share)]

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        made = [each for share in pool.map(make, shares) for each in share]
    authority = rig.directory / "storm-authority.pem"
    authority.write_bytes(rig.deployment.authority.pem)
    return Ground(
        endpoints=[each.address for each in rig.nodes],
        authority=authority,
        identity=rig.identity(HOST).write(rig.directory, HOST),
        keys=made,
    )


def stormed(rig: Rig, ground: Ground, connections: int, *, times: int = 1) -> Storm:
    """Both nodes have just started, and know no key; the second is killed in the middle, and serves afterwards."""
    rig.stop()
    rig.start()
    try:
        return storm(ground, connections, times=times, halfway=lambda: rig.nodes[1].kill(signal.SIGKILL))
    finally:
        rig.nodes[1].kill()
        rig.nodes[1].start()


def _made(client: Client) -> tuple[str, str]:
    uid = client.ask(Operation.CREATE, *new_key("")).string(Tag.UNIQUE_IDENTIFIER)
    got = client.ask(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid))
    return uid, hashlib.sha256(material(got)).hexdigest()
