"""Every act that a journal tells of, and the event that it is for those who read Activity Tracker's: one table.

The database keeps short names (``"Get"``, ``"certificate.add"``); CADF's are made where a record leaves the house. The
operations of IBM's KMIP for VMware bear the names that IBM gave them, the others are of the same family.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FAMILY: Final = "vmware-solutions"
"""What every event of Keyrack's own begins with."""
UNROUTED: Final = "vmware-solutions.kmip-key.default"
"""A request with an operation that no version of KMIP has: ``default``, as with Key Protect."""
UNLISTED: Final = "vmware-solutions.kmip-journal.unlisted"
"""An act that a newer Keyrack has written, and this one has no row for."""


class Severity(StrEnum):
    """How grave an event is where it has succeeded."""

    NORMAL = "normal"
    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Act:
    """One kind of event."""

    event: str
    """CADF's ``action``."""
    severity: Severity
    target: str
    """CADF's ``target.typeURI``: what kind of thing it was done to."""
    told: str
    """For people: the verb and its object."""
    data: bool = False
    """Whether a client's use of keys, and not somebody's administration (``dataEvent``)."""


def _kmip(noun: str, verb: str, told: str, severity: Severity = Severity.NORMAL) -> Act:
    target = "server" if noun == "kmip-server" else "secrets"
    return Act(f"{FAMILY}.{noun}.{verb}", severity, f"kms/{target}", told, data=True)


_KEY, _ATTRIBUTES, _SERVER = "kmip-key", "kmip-key-attributes", "kmip-server"

OPERATIONS: Final[Mapping[str, Act]] = {
    "Create": _kmip(_KEY, "create", "create key"),
    "Create Key Pair": _kmip("kmip-key-pair", "create", "create key pair"),
    "Register": _kmip(_KEY, "register", "register object"),
    "Re-key": _kmip(_KEY, "rekey", "replace key"),
    "Re-key Key Pair": _kmip("kmip-key-pair", "rekey", "replace key pair"),
    "Derive Key": _kmip(_KEY, "derive", "derive key"),
    "Certify": _kmip("kmip-certificate", "certify", "certify public key"),
    "Re-certify": _kmip("kmip-certificate", "recertify", "certify public key anew"),
    "Locate": _kmip(_KEY, "locate", "search keys"),
    "Check": _kmip(_KEY, "check", "check key"),
    "Get": _kmip(_KEY, "read", "read key"),
    "Get Attributes": _kmip(_ATTRIBUTES, "retrieve", "retrieve attributes"),
    "Get Attribute List": _kmip(_ATTRIBUTES, "list", "list attributes"),
    "Add Attribute": _kmip(_ATTRIBUTES, "add", "add attribute"),
    "Modify Attribute": _kmip(_ATTRIBUTES, "modify", "modify attribute"),
    "Delete Attribute": _kmip(_ATTRIBUTES, "delete", "delete attribute"),
    "Obtain Lease": _kmip(_KEY, "lease", "obtain lease of key"),
    "Get Usage Allocation": _kmip(_KEY, "allocate", "allocate usage of key"),
    "Activate": _kmip(_KEY, "activate", "activate key"),
    "Revoke": _kmip(_KEY, "revoke", "revoke key", Severity.WARNING),
    "Destroy": _kmip(_KEY, "destroy", "destroy key", Severity.CRITICAL),
    "Archive": _kmip(_KEY, "archive", "archive key"),
    "Recover": _kmip(_KEY, "recover", "recover key"),
    "Validate": _kmip("kmip-certificate", "validate", "validate certificates"),
    "Query": _kmip(_SERVER, "query", "query server"),
    "Discover Versions": _kmip(_SERVER, "discover", "discover versions"),
    "Cancel": _kmip(_SERVER, "cancel", "cancel request"),
    "Poll": _kmip(_SERVER, "poll", "poll request"),
    "Notify": _kmip(_SERVER, "notify", "notify"),
    "Put": _kmip(_KEY, "put", "put key"),
    "Encrypt": _kmip(_KEY, "encrypt", "encrypt with key"),
    "Decrypt": _kmip(_KEY, "decrypt", "decrypt with key"),
    "Sign": _kmip(_KEY, "sign", "sign with key"),
    "Signature Verify": _kmip(_KEY, "verify-signature", "verify signature with key"),
    "MAC": _kmip(_KEY, "mac", "authenticate with key"),
    "MAC Verify": _kmip(_KEY, "verify-mac", "verify authentication with key"),
    "RNG Retrieve": _kmip(_SERVER, "retrieve-random", "retrieve random numbers"),
    "RNG Seed": _kmip(_SERVER, "seed-random", "seed random numbers"),
    "Hash": _kmip(_SERVER, "hash", "hash"),
    "Create Split Key": _kmip(_KEY, "split", "split key"),
    "Join Split Key": _kmip(_KEY, "join", "join split key"),
    "Import": _kmip(_KEY, "import", "import key"),
    "Export": _kmip(_KEY, "export", "export key"),
}
"""The operations of KMIP, by their titles; also those that are refused because they are not built."""

_N, _W, _C = Severity.NORMAL, Severity.WARNING, Severity.CRITICAL

# Noun: the kind of target, how a person calls it, and its verbs, each with its weight.
_NOUNS: Final[Mapping[str, tuple[str, str, Mapping[str, Severity]]]] = {
    "instance": (
        "kmip/instances",
        "instance",
        {
            "create": _N, "configure": _N, "change": _N, "rename": _N, "describe": _N, "activate": _W,
            "deactivate": _W, "quotas": _W, "credential": _W, "dual-control": _W, "seal": _W, "unseal": _W,
            "storage": _W, "root-key": _W, "validate": _N, "removing": _W, "remove": _C, "rebuild": _W,
            "configuring": _N, "throttle": _W,
        },
    ),
    "certificate": (
        "kmip/certificates",
        "client certificate",
        {"add": _W, "remove": _W, "issue": _W, "sign": _W, "rename": _N, "rotate": _W, "refuse": _W, "expire": _W},
    ),
    "authority": (
        "kmip/authorities",
        "trusted authority",
        {"add": _W, "change": _W, "remove": _W, "bar": _W, "unbar": _W, "expire": _W},
    ),
    "stranger": ("kmip/certificates", "certificate that knocked", {"forget": _N, "see": _N}),
    "server-certificate": (
        "kmip/server",
        "server certificate",
        {"renew": _W, "install": _W, "request": _N, "expire": _W},
    ),
    "node": ("kmip/server", "node", {"invite": _C, "join": _W, "refresh": _W}),
    "key": (
        "kms/secrets",
        "key",
        {
            "activate": _W, "deactivate": _W, "compromise": _W, "restore": _W, "reactivate": _W, "recover": _W,
            "destroy": _C,
            "purge": _C, "withhold": _W, "rewrap": _N, "move": _W, "store": _N, "unstore": _N, "adopt": _W,
            "rebuild": _W, "repair": _W,
        },
    ),
    "root-key": (
        "kms/secrets",
        "root key",
        {
            "create": _N, "import": _N, "rotate": _W, "disable": _W, "enable": _W, "delete": _C, "restore": _W,
            "purge": _C, "move": _W, "destroy-material": _C, "policy": _W, "rewrap": _N, "set-for-deletion": _W,
            "unset-for-deletion": _W,
        },
    ),
    "standard-key": (
        "kms/secrets",
        "standard key",
        {"intent": _N, "reconcile": _N, "delete": _N, "rebuild": _W, "repair": _W},
    ),
    "approval": (
        "kmip/approvals",
        "approval",
        {"ask": _W, "agree": _W, "refuse": _W, "withdraw": _W, "expire": _N},
    ),
    "person": (
        "kmip/people",
        "person",
        {
            "add": _W, "change": _W, "rename": _N, "grant": _W, "revoke": _W, "remove": _W, "lock": _W, "unlock": _W,
            "password": _W, "link": _W, "invite": _W, "disable": _W, "enable": _W,
        },
    ),
    "session": ("kmip/sessions", "session", {"begin": _N, "prove": _N, "end": _N, "refused": _W, "lock": _W}),
    "api-key": ("kmip/api-keys", "API key", {"add": _W, "create": _W, "revoke": _W, "remove": _W, "refuse": _W}),
    "backup": (
        "kmip/backups",
        "backup",
        {"create": _N, "restore": _C, "agree": _C, "prove": _N},
    ),
    "catalog": ("kmip/catalog", "catalog", {"move": _C}),
    "journal": (
        "kmip/journal",
        "journal",
        {"checkpoint": _N, "cut": _W, "key": _W, "accept": _C, "export": _N, "verify": _N},
    ),
}  # fmt: skip

_TELLING: Final[Mapping[str, str]] = {
    "instance.removing": "begin to remove instance",
    "instance.configuring": "begin to configure instance",
    "instance.throttle": "refuse requests beyond quota of instance",
    "instance.root-key": "change root key of instance",
    "instance.quotas": "change quotas of instance",
    "instance.credential": "change credential of instance",
    "instance.dual-control": "change dual control of instance",
    "instance.storage": "change storage of instance",
    "certificate.expire": "warn of end of client certificate",
    "authority.expire": "warn of end of trusted authority",
    "server-certificate.expire": "warn of end of server certificate",
    "root-key.destroy-material": "destroy material of root key",
    "root-key.policy": "set policies of root key",
    "root-key.rewrap": "begin to rewrap keys under root key",
    "root-key.set-for-deletion": "set root key for deletion",
    "root-key.unset-for-deletion": "unset root key for deletion",
    "person.password": "change password of person",
    "person.link": "make one-time link of person",
    "journal.checkpoint": "sign checkpoint of journal",
    "journal.key": "change signing key of journal",
    "journal.accept": "accept an older journal",
    "backup.restore": "go back to an older catalog",
    "backup.agree": "go on with an older catalog",
}
"""What reads badly as verb and noun."""

ADMINISTRATION: Final[Mapping[str, Act]] = {
    f"{noun}.{verb}": Act(
        f"{FAMILY}.kmip-{noun}.{verb}",
        severity,
        target,
        _TELLING.get(f"{noun}.{verb}", f"{verb.replace('-', ' ')} {told}"),
    )
    for noun, (target, told, verbs) in _NOUNS.items()
    for verb, severity in verbs.items()
}
"""Administrative acts, and what Keyrack does by itself."""


def _verb_and_noun(event: str) -> str:
    begin, _, verb = event.rpartition(".")
    return f"{verb} {begin.rpartition('.')[2]}".replace("-", " ")


_OWN: Final = (
    (
        "kms/secrets",
        _N,
        """kms.secrets.create kms.secrets.list kms.secrets.head kms.secrets.read kms.secrets.wrap kms.secrets.unwrap
        kms.secrets.rewrap kms.secrets.patch kms.secrets.purge kms.secrets.default kms.secrets-metadata.read
        kms.secrets-key-versions.list kms.secrets-event.ack kms.secrets-with-policy-overrides.create
        kms.secrets-alias.create kms.secrets-alias.delete kms.registrations.list""",
    ),
    (
        "kms/secrets",
        _W,
        """kms.secrets.rotate kms.secrets.restore kms.secrets.enable kms.secrets.disable kms.secrets.setkeyfordeletion
        kms.secrets.unsetkeyfordeletion kms.secrets.expire""",
    ),
    ("kms/secrets", _C, "kms.secrets.delete"),
    ("kms/key-rings", _N, "kms.key-rings.create kms.key-rings.delete kms.key-rings.list"),
    ("kms/policies", _N, "kms.policies.read kms.instance-policies.read"),
    ("kms/policies", _W, "kms.policies.write kms.instance-policies.write"),
    ("kms/import-token", _N, "kms.import-token.create kms.import-token.read"),
    (
        "kms/kmip-management",
        _N,
        """kms.kmip-management.create kms.kmip-management.list kms.kmip-management.read
        kms.kmip-management.delete""",
    ),
    ("kms/instances", _N, "kms.instance.create"),
    ("kms/instances", _C, "kms.database.accept"),
    (
        "iam-identity/identities",
        _W,
        """iam-identity.account-serviceid.create iam-identity.account-serviceid.delete
        iam-identity.account-serviceid.update iam-identity.serviceid-apikey.create
        iam-identity.serviceid-apikey.delete iam-identity.signing-key.create iam-identity.signing-key.rotate
        iam-am.policy.create iam-am.policy.delete""",
    ),
    ("iam-identity/identities", _N, "iam-identity.serviceid-apikey.login"),
    (
        "keyrack/keystore",
        _W,
        "keyrack.keystore.change-unlock keyrack.keystore.export keyrack.keystore.recover",
    ),
)
"""Events of the embedded key manager, which are called in its journal as they are in IBM's."""

KEY_MANAGER: Final[Mapping[str, Act]] = {
    event: Act(event, severity, target, _verb_and_noun(event))
    for target, severity, events in _OWN
    for event in events.split()
}
"""What the embedded key manager's journal tells of."""

ACTS: Final[Mapping[str, Act]] = {**OPERATIONS, **ADMINISTRATION, **KEY_MANAGER}
"""Every act by the name that the journal keeps."""


def act_of(action: str) -> Act:
    """The row of an act; one for what is no operation of KMIP, and one for what nobody has listed."""
    known = ACTS.get(action)
    if known is not None:
        return known
    if action.startswith("0x"):
        return Act(UNROUTED, Severity.NORMAL, "kms/secrets", "unknown operation", data=True)
    return Act(UNLISTED, Severity.WARNING, "kmip/journal", "unlisted act")


def markdown() -> str:
    """The table in Markdown."""
    lines = ["| in the journal | event | severity | target |", "| --- | --- | --- | --- |"]
    lines += [f"| `{name}` | `{act.event}` | {act.severity} | `{act.target}` |" for name, act in ACTS.items()]
    return "\n".join(lines) + "\n"
