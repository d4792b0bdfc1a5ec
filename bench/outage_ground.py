"""What outages are measured on: Keyrack in a process, the HTTPS face of a key manager in another, proxies between.

Nothing is shortened: leases, probes, listings and deadlines are those that everybody has.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.servers import BUILD

from keyrack.spec.enumerations import CryptographicAlgorithm, ObjectType, Operation
from keyrack.spec.tags import Tag
from keyrack.testing.certificates import Identity, client
from keyrack.testing.client import Answer, Client
from keyrack.testing.fault_proxy import FaultProxy
from keyrack.testing.fault_proxy_process import fault_proxy_process
from keyrack.testing.key_manager_process import KeyManagerProcess, key_manager_process
from keyrack.testing.key_protect import User
from keyrack.testing.process import Deployment
from keyrack.testing.ttlv import Item, enumeration, integer, structure, text

ENCRYPT_AND_DECRYPT = 12
TABLE = """
[key_managers.{name}]
type = "key_protect"
url = "{url}"
instance = "{instance}"
ca_bundle = "{bundle}"

[key_managers.{name}.iam]
url = "{url}"
api_key_file = "{api_key}"
"""


@dataclass(slots=True)
class Tenant:
    """An instance of Keyrack and a client of it."""

    name: str
    key_manager: str
    root_key: str
    identity: Identity
    deployment: Deployment
    uids: list[str] = field(default_factory=list)

    def connect(self, address: tuple[str, int]) -> Client:
        """A connection of its client."""
        return Client(address, self.deployment.context(self.identity), timeout=30)

    def make(self, address: tuple[str, int], count: int) -> list[str]:
        """So many more keys."""
        with self.connect(address) as asking:
            made = [str(asking.ask(Operation.CREATE, *_AES).string(Tag.UNIQUE_IDENTIFIER)) for _ in range(count)]
        self.uids += made
        return made

    def load(
        self, address: tuple[str, int], uids: Sequence[str], seconds: float, *, rate: float | None = None
    ) -> list[str]:
        """The command line of a load of Gets of these keys, so many a second on a schedule, or without rest."""
        directory = self.deployment.directory
        certificate, key = self.identity.write(directory, f"load-{self.name}")
        told = directory / f"load-{self.name}.uids"
        told.write_text("".join(f"{uid} - -\n" for uid in uids))
        files = ["--ca", str(directory / "authority.pem"), "--cert", str(certificate), "--key", str(key)]
        when = ["-d", str(seconds), "-w", "0", "-c", "8", *(["--rate", str(rate)] if rate else [])]
        what = ["get", "--uid-file", str(told), "--port", str(address[1]), "--tls", "1.3", "--json", "-", "--quiet"]
        return [str(BUILD / "kmipload"), *what, *files, *when]


def got(asking: Client, uid: str) -> Answer:
    """A Get, answered or refused."""
    return asking.try_(Operation.GET, text(Tag.UNIQUE_IDENTIFIER, uid))


def _attribute(name: str, value: Item) -> Item:
    return structure(Tag.ATTRIBUTE, text(Tag.ATTRIBUTE_NAME, name), value)


_AES = (
    enumeration(Tag.OBJECT_TYPE, ObjectType.SYMMETRIC_KEY),
    structure(
        Tag.TEMPLATE_ATTRIBUTE,
        _attribute("Cryptographic Algorithm", enumeration(Tag.ATTRIBUTE_VALUE, CryptographicAlgorithm.AES)),
        _attribute("Cryptographic Length", integer(Tag.ATTRIBUTE_VALUE, 256)),
        _attribute("Cryptographic Usage Mask", integer(Tag.ATTRIBUTE_VALUE, ENCRYPT_AND_DECRYPT)),
    ),
)


@dataclass(slots=True)
class Ground:
    """All of it."""

    work: Path
    served: KeyManagerProcess
    deployment: Deployment
    proxies: dict[str, FaultProxy]
    administrator: User
    """Of the first key manager instance, past every proxy."""

    @property
    def proxy(self) -> FaultProxy:
        """The one that hangs."""
        return self.proxies["kp"]

    def configure(self, name: str, proxy: FaultProxy, instance: str, service_id: str) -> None:
        """Another key manager in Keyrack's configuration, and a service ID for it."""
        api_key = self.work / f"{name}.api-key"
        api_key.touch(mode=0o600)
        api_key.write_text(self.served.new_api_key(service_id, "Manager", instance=instance))
        table = TABLE.format(
            name=name,
            url=proxy.address.url,
            instance=instance,
            bundle=proxy.address.authority,
            api_key=api_key,
        )
        with self.deployment.configuration.open("a") as configuration:
            configuration.write(table)

    def tenant(self, name: str, key_manager: str) -> Tenant:
        """A new instance whose keys become standard keys."""
        made = self.deployment.read("instance", "create", name, "--key-manager", key_manager)
        identity = client(self.deployment.authority, name)
        self.deployment.add_client(name, identity)
        return Tenant(name, key_manager, str(made["root_key"]), identity, self.deployment)


@contextmanager
def ground(work: Path) -> Iterator[Ground]:
    """Key managers ``kp`` and ``other``, of one key manager instance each, behind a proxy each."""
    with ExitStack() as stack:
        served = stack.enter_context(key_manager_process(work / "key-manager", KEYRACK_LOG__LEVEL="warning"))
        proxies: dict[str, FaultProxy] = {
            name: stack.enter_context(fault_proxy_process(served.address, work / f"proxy-{name}"))
            for name in ("kp", "other")
        }
        environment = {"KEYRACK_LOG__LEVEL": "warning"}
        deployment = Deployment(directory=work / "keyrack", environment=environment).initialise()
        (work / "keyrack" / "authority.pem").write_bytes(deployment.authority.pem)
        administrator = User(served.address, served.new_api_key("administrator", "Manager"), served.instance)
        made = Ground(work, served, deployment, proxies, administrator)
        other = served.deployment.read("key-manager", "instance", "create", "other")["identifier"]
        made.configure("kp", proxies["kp"], served.instance, "keyrack")
        made.configure("other", proxies["other"], other, "keyrack-other")
        stack.callback(deployment.stop)
        yield made
