"""What the journal's acts are called on pages: tables, in English, translated where they are shown.

Each reads well whether it was done or refused. Operations of KMIP keep the standard's names; beside each stands what it
is for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.cadf_actions import ACTS, OPERATIONS, act_of
from keyrack.shell.console.words import mark

MEANT: Final[Mapping[str, str]] = {
    "Create": mark("make a key"),
    "Register": mark("register an object"),
    "Locate": mark("search keys"),
    "Check": mark("check a key"),
    "Get": mark("fetch a key"),
    "Get Attributes": mark("read attributes of a key"),
    "Get Attribute List": mark("list attributes of a key"),
    "Add Attribute": mark("add an attribute to a key"),
    "Modify Attribute": mark("change an attribute of a key"),
    "Delete Attribute": mark("delete an attribute of a key"),
    "Obtain Lease": mark("obtain a lease of a key"),
    "Get Usage Allocation": mark("obtain usage of a key"),
    "Activate": mark("put a key into use"),
    "Revoke": mark("revoke a key"),
    "Destroy": mark("destroy a key"),
    "Query": mark("ask what the server can do"),
    "Discover Versions": mark("agree on a version of KMIP"),
}
"""What an operation of KMIP is for, of those that clients really send."""

NAMED: Final[Mapping[str, str]] = {
    "instance.create": mark("Create instance"),
    "instance.configure": mark("Configure instance"),
    "instance.configuring": mark("Begin to configure instance"),
    "instance.rename": mark("Rename instance"),
    "instance.describe": mark("Describe instance"),
    "instance.activate": mark("Activate instance"),
    "instance.deactivate": mark("Deactivate instance"),
    "instance.quotas": mark("Set quotas of instance"),
    "instance.credential": mark("Set credential of instance"),
    "instance.dual-control": mark("Set dual control of instance"),
    "instance.seal": mark("Seal instance"),
    "instance.unseal": mark("Unseal instance"),
    "instance.storage": mark("Move keys of instance to other storage"),
    "instance.root-key": mark("Change root key of instance"),
    "instance.validate": mark("Prove root key of instance"),
    "instance.removing": mark("Begin to remove instance"),
    "instance.remove": mark("Remove instance"),
    "instance.rebuild": mark("Rebuild instance from its copies"),
    "instance.throttle": mark("Refuse requests beyond the quota"),
    "certificate.add": mark("Trust client certificate"),
    "certificate.remove": mark("Remove client certificate"),
    "certificate.issue": mark("Issue client certificate"),
    "certificate.sign": mark("Sign client certificate"),
    "certificate.expire": mark("Warn that client certificate ends"),
    "authority.add": mark("Trust certificate authority"),
    "authority.remove": mark("End trust in certificate authority"),
    "authority.bar": mark("Bar certificate of trusted authority"),
    "authority.unbar": mark("Let barred certificate in again"),
    "authority.expire": mark("Warn that trusted authority ends"),
    "stranger.see": mark("Turn away certificate that nobody trusts"),
    "stranger.forget": mark("Forget certificate that knocked"),
    "server-certificate.renew": mark("Renew server certificate"),
    "server-certificate.install": mark("Install server certificate"),
    "server-certificate.request": mark("Request server certificate"),
    "server-certificate.expire": mark("Warn that server certificate ends"),
    "node.invite": mark("Invite node"),
    "node.join": mark("Join as node"),
    "node.refresh": mark("Refresh node"),
    "key.activate": mark("Activate key"),
    "key.deactivate": mark("Deactivate key"),
    "key.compromise": mark("Mark key as compromised"),
    "key.reactivate": mark("Restore key to active"),
    "key.restore": mark("Restore key"),
    "key.recover": mark("Undo destruction of key"),
    "key.destroy": mark("Destroy key"),
    "key.purge": mark("Purge key"),
    "key.withhold": mark("Withhold key"),
    "key.rewrap": mark("Wrap key anew"),
    "key.move": mark("Move key to another root key"),
    "key.store": mark("Store key in key manager"),
    "key.unstore": mark("Take key out of key manager"),
    "key.adopt": mark("Adopt key"),
    "key.rebuild": mark("Rebuild key from its copy"),
    "key.repair": mark("Repair key from its copy"),
    "root-key.create": mark("Create root key"),
    "root-key.import": mark("Import root key"),
    "root-key.rotate": mark("Rotate root key"),
    "root-key.disable": mark("Disable root key"),
    "root-key.enable": mark("Enable root key"),
    "root-key.delete": mark("Delete root key"),
    "root-key.restore": mark("Restore root key"),
    "root-key.purge": mark("Purge root key"),
    "root-key.policy": mark("Set policies of root key"),
    "root-key.rewrap": mark("Begin to wrap keys by the newest root key version"),
    "root-key.set-for-deletion": mark("Set root key for deletion"),
    "root-key.unset-for-deletion": mark("Unset root key for deletion"),
    "standard-key.intent": mark("Intend to store standard key"),
    "standard-key.reconcile": mark("Settle what became of standard key"),
    "standard-key.delete": mark("Delete standard key"),
    "approval.ask": mark("Ask a second person"),
    "approval.agree": mark("Agree as the second person"),
    "approval.refuse": mark("Refuse as the second person"),
    "approval.withdraw": mark("Withdraw what waits for a second person"),
    "approval.expire": mark("End what has waited too long for a second person"),
    "person.add": mark("Add person"),
    "person.grant": mark("Grant role"),
    "person.revoke": mark("Take role back"),
    "person.remove": mark("Remove person"),
    "person.password": mark("Set password"),
    "person.invite": mark("Make one-time link"),
    "person.link": mark("Make link that logs in, once"),
    "person.disable": mark("Lock person out"),
    "person.enable": mark("Let person in again"),
    "session.begin": mark("Log in"),
    "session.prove": mark("Prove again to be there"),
    "session.end": mark("End log-in"),
    "session.refused": mark("Try to log in"),
    "api-key.create": mark("Create API key"),
    "api-key.revoke": mark("Revoke API key"),
    "backup.create": mark("Make backup"),
    "backup.prove": mark("Try backup"),
    "backup.restore": mark("Go back to an older catalog"),
    "backup.agree": mark("Go on with an older catalog"),
    "catalog.move": mark("Move catalog"),
    "journal.checkpoint": mark("Sign checkpoint of the journal"),
    "journal.cut": mark("Cut the journal"),
    "journal.key": mark("Change the key that signs the journal"),
    "journal.accept": mark("Accept an older journal"),
    "journal.export": mark("Export the journal"),
    "journal.verify": mark("Verify the journal"),
}
"""Administrative acts that are journaled."""

SEVERITIES: Final[Mapping[str, str]] = {
    "normal": mark("normal"),
    "warning": mark("warning"),
    "critical": mark("critical"),
}
_GROUPS: Final = (
    (mark("Instances"), ("instance",)),
    (mark("Client certificates"), ("certificate", "authority", "stranger")),
    (mark("Keys"), ("key", "standard-key")),
    (mark("Root keys"), ("root-key",)),
    (mark("Approvals"), ("approval",)),
    (mark("People and log-ins"), ("person", "session", "api-key")),
    (mark("The server itself"), ("server-certificate", "node", "backup", "catalog", "journal")),
)


@dataclass(frozen=True, slots=True)
class Said:
    """An act in words."""

    title: str
    """KMIP's name of an operation, or what an administrator calls it."""
    meaning: str = ""
    """What an operation is for."""


def said(action: str) -> Said:
    """An act of the journal; one that has no words here is called as its event is."""
    if action in OPERATIONS:
        return Said(action, MEANT.get(action, act_of(action).told))
    if action in NAMED:
        return Said(NAMED[action])
    told = act_of(action).told
    return Said(told[:1].upper() + told[1:] if action in ACTS else action)


def choices() -> Sequence[tuple[str, Sequence[tuple[str, str]]]]:
    """What can be asked for, in groups: each act by its name in the journal, and what it is called."""
    operations = [(name, name) for name in sorted(MEANT)]
    groups = [
        (title, [(name, words) for name, words in NAMED.items() if name.partition(".")[0] in nouns])
        for title, nouns in _GROUPS
    ]
    return [(mark("Operations of KMIP"), operations), *groups]
