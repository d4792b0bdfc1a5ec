"""Rights and roles: one table of who may do what, which the code asks and the documentation prints.

- ``Right``: one word for each thing that can be allowed.
- ``ROLES``: what each role may.
- ``Grants``: the roles that somebody has, each for one instance or for the whole deployment.
- ``markdown()``: the table as ``docs/rights.md`` shows it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

EVERYWHERE: Final = ""
"""What a grant names in the place of an instance's identifier: all instances, and what belongs to none."""


class Role(StrEnum):
    """A role; a person may have several. The value is what REST and the command line call it."""

    VIEWER = "viewer"
    AUDITOR = "auditor"
    OPERATOR = "operator"
    SECURITY_OFFICER = "security-officer"
    ADMINISTRATOR = "administrator"


ROLE_MEANING: Final[Mapping[Role, str]] = {
    Role.VIEWER: "sees instances, certificates and keys, and changes nothing",
    Role.AUDITOR: "sees all that a viewer sees, the journal and who has which role, and proves the journal",
    Role.OPERATOR: "lets clients in and keeps instances going; ends nothing, and brings no key back",
    Role.SECURITY_OFFICER: "decides about keys, seals and trusted authorities; agrees to what needs two",
    Role.ADMINISTRATOR: "makes, changes and removes instances, people and the server's own settings; destroys no key",
}
"""What each role is for, in one line."""


class Right(Enum):
    """What can be allowed: its name, whether it counts for one instance, and what it lets somebody do."""

    INSTANCE_READ = ("instance.read", True, "see instances, their status and health")
    INSTANCE_CREATE = ("instance.create", False, "create instances")
    INSTANCE_CHANGE = ("instance.change", True, "rename, describe, configure, deactivate and activate an instance")
    INSTANCE_QUOTA = ("instance.quota", True, "set quotas, the credential and dual control of an instance")
    INSTANCE_SEAL = ("instance.seal", True, "seal and unseal an instance")
    INSTANCE_REMOVE = ("instance.remove", True, "remove an instance on which nothing hangs any more")
    CERTIFICATE_READ = ("certificate.read", True, "see client certificates and trusted authorities")
    CERTIFICATE_ADD = ("certificate.add", True, "add, sign and issue client certificates")
    CERTIFICATE_REMOVE = ("certificate.remove", True, "remove client certificates")
    AUTHORITY_CHANGE = ("authority.change", True, "trust a certificate authority, and end that trust")
    STRANGER_READ = ("stranger.read", False, "see certificates that knocked and are not trusted")
    KEY_READ = ("key.read", True, "see keys: their states, attributes and last fetches; never their material")
    KEY_ACTIVATE = ("key.activate", True, "activate keys")
    KEY_DEACTIVATE = ("key.deactivate", True, "deactivate keys and mark them compromised")
    KEY_RESTORE = ("key.restore", True, "restore deactivated keys to active, and take a destruction back")
    KEY_DESTROY = ("key.destroy", True, "destroy keys; for 30 days that can be taken back")
    KEY_PURGE = ("key.purge", True, "purge destroyed keys for good")
    APPROVAL_READ = ("approval.read", True, "see what waits for a second person")
    APPROVAL_AGREE = ("approval.agree", True, "agree as the second person to what needs two")
    KEY_MANAGER_READ = ("key-manager.read", False, "list key managers and their root keys")
    ROOT_KEY_CREATE = ("root-key.create", False, "make root keys")
    ROOT_KEY_ROTATE = ("root-key.rotate", False, "rotate root keys, and have keys wrapped by the newest version")
    ROOT_KEY_POLICY = ("root-key.policy", False, "set when root keys are rotated, and that it takes two to delete one")
    ROOT_KEY_DISABLE = ("root-key.disable", False, "disable root keys: no key under them is handed out")
    ROOT_KEY_DELETE = ("root-key.delete", False, "delete root keys; for 30 days that can be taken back")
    ROOT_KEY_RESTORE = ("root-key.restore", False, "enable disabled root keys, and restore deleted ones")
    JOURNAL_READ = ("journal.read", True, "read, search, follow and export the journal")
    JOURNAL_VERIFY = ("journal.verify", False, "verify the journal and its checkpoints")
    JOURNAL_CUT = ("journal.cut", False, "cut the journal where its retention ends")
    PERSON_READ = ("person.read", False, "see people, their roles and API keys")
    PERSON_CHANGE = ("person.change", False, "add people, grant roles, lock people out, revoke API keys")
    SERVER_READ = ("server.read", False, "see the server's health, certificate and settings")
    SERVER_CHANGE = ("server.change", False, "renew the server's certificate")

    def __init__(self, title: str, scoped: bool, meaning: str) -> None:
        """Keep the parts by name."""
        self.title = title
        self.scoped = scoped
        """Whether it can be had for one instance alone; else only a grant for everywhere gives it."""
        self.meaning = meaning


_VIEW: Final = frozenset(
    {
        Right.INSTANCE_READ,
        Right.CERTIFICATE_READ,
        Right.KEY_READ,
        Right.APPROVAL_READ,
        Right.KEY_MANAGER_READ,
        Right.SERVER_READ,
    }
)
_AUDIT: Final = _VIEW | {Right.JOURNAL_READ, Right.JOURNAL_VERIFY, Right.PERSON_READ, Right.STRANGER_READ}

ROLES: Final[Mapping[Role, frozenset[Right]]] = {
    Role.VIEWER: _VIEW,
    Role.AUDITOR: _AUDIT,
    Role.OPERATOR: _VIEW
    | {
        Right.STRANGER_READ,
        Right.INSTANCE_CHANGE,
        Right.CERTIFICATE_ADD,
        Right.KEY_ACTIVATE,
    },
    Role.SECURITY_OFFICER: _AUDIT
    | {
        Right.INSTANCE_SEAL,
        Right.INSTANCE_QUOTA,
        Right.CERTIFICATE_REMOVE,
        Right.AUTHORITY_CHANGE,
        Right.KEY_ACTIVATE,
        Right.KEY_DEACTIVATE,
        Right.KEY_RESTORE,
        Right.KEY_DESTROY,
        Right.KEY_PURGE,
        Right.ROOT_KEY_CREATE,
        Right.ROOT_KEY_ROTATE,
        Right.ROOT_KEY_POLICY,
        Right.ROOT_KEY_DISABLE,
        Right.ROOT_KEY_DELETE,
        Right.ROOT_KEY_RESTORE,
        Right.APPROVAL_AGREE,
        Right.JOURNAL_CUT,
    },
    Role.ADMINISTRATOR: _AUDIT
    | {
        Right.INSTANCE_CREATE,
        Right.INSTANCE_CHANGE,
        Right.INSTANCE_QUOTA,
        Right.INSTANCE_SEAL,
        Right.INSTANCE_REMOVE,
        Right.CERTIFICATE_ADD,
        Right.CERTIFICATE_REMOVE,
        Right.AUTHORITY_CHANGE,
        Right.KEY_ACTIVATE,
        Right.KEY_RESTORE,
        Right.ROOT_KEY_CREATE,
        Right.ROOT_KEY_ROTATE,
        Right.APPROVAL_AGREE,
        Right.PERSON_CHANGE,
        Right.SERVER_CHANGE,
    },
}
"""What each role may; what is not here is refused."""


PROOF_LASTS: Final = 5 * 60
"""Seconds for which a password, or a log-in, proves that the person is still there."""

PROVED_AGAIN: Final = frozenset(
    {
        Right.INSTANCE_QUOTA,
        Right.INSTANCE_REMOVE,
        Right.CERTIFICATE_REMOVE,
        Right.AUTHORITY_CHANGE,
        Right.KEY_DEACTIVATE,
        Right.KEY_DESTROY,
        Right.KEY_PURGE,
        Right.ROOT_KEY_DISABLE,
        Right.ROOT_KEY_DELETE,
        Right.APPROVAL_AGREE,
        Right.JOURNAL_CUT,
        Right.PERSON_CHANGE,
    }
)
"""What can stop machines, or gives power away: a log-in that somebody has left open does not do for it."""


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """One role, for one instance by its identifier or :data:`EVERYWHERE`."""

    role: Role
    instance: str = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Grants:
    """Everything that somebody was granted; what it allows is asked at each act."""

    held: frozenset[Grant] = frozenset()
    everything: bool = False
    """Whoever works on the machine itself with the deployment's files: all rights, everywhere."""

    @classmethod
    def of(cls, held: Iterable[Grant]) -> "Grants":
        """These grants."""
        return cls(frozenset(held))

    def allow(self, right: Right, instance: str = EVERYWHERE) -> bool:
        """Whether ``right`` is had for this instance, or everywhere where it names none."""
        if self.everything:
            return True
        wanted = {EVERYWHERE, instance} if right.scoped else {EVERYWHERE}
        return any(grant.instance in wanted and right in ROLES[grant.role] for grant in self.held)

    def somewhere(self, right: Right) -> bool:
        """Whether ``right`` is had for any instance, or everywhere."""
        return self.everything or any(right in ROLES[grant.role] for grant in self.held)

    def sees(self, instance: str) -> bool:
        """Whether the instance is there at all for whoever has these grants."""
        return self.allow(Right.INSTANCE_READ, instance)

    def narrowed(self, roles: frozenset[Role]) -> "Grants":
        """The same in these roles alone, as an API key may be; whoever has everything has then just these roles."""
        if self.everything:
            return Grants(frozenset(Grant(role) for role in roles))
        return Grants(frozenset(grant for grant in self.held if grant.role in roles))


EVERYTHING: Final = Grants(everything=True)
"""All rights."""


def markdown() -> str:
    """The roles, and the table in Markdown: a row for each right, a column for each role."""
    lines = [f"- **{role}** {ROLE_MEANING[role]}." for role in Role]
    lines += [
        "",
        "| right | lets somebody | over | " + " | ".join(Role) + " |",
        "|---|---|---" + "|:-:" * len(Role) + "|",
    ]
    for right in Right:
        marks = ("✓" if right in ROLES[role] else "" for role in Role)
        scope = "instance" if right.scoped else "deployment"
        again = " *" if right in PROVED_AGAIN else ""
        lines.append(f"| `{right.title}`{again} | {right.meaning} | {scope} | " + " | ".join(marks) + " |")
    return "\n".join(lines) + "\n"
