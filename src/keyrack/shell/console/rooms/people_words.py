"""What the pages of people call rights and acts: tables, in English, translated where they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from keyrack.domain.rights import Right
from keyrack.shell.console.showing import tells
from keyrack.shell.console.words import mark

MEANINGS: Final[Mapping[str, str]] = {
    "instance.read": mark("See instances, their status and health"),
    "instance.create": mark("Create instances"),
    "instance.change": mark("Rename, describe, configure, deactivate and activate an instance"),
    "instance.quota": mark("Set quotas, the credential and dual control of an instance"),
    "instance.seal": mark("Seal and unseal an instance"),
    "instance.remove": mark("Remove an instance on which nothing hangs any more"),
    "certificate.read": mark("See client certificates and trusted authorities"),
    "certificate.add": mark("Add, sign and issue client certificates"),
    "certificate.remove": mark("Remove client certificates"),
    "authority.change": mark("Trust a certificate authority, and end that trust"),
    "stranger.read": mark("See certificates that knocked and are not trusted"),
    "key.read": mark("See keys: their states, attributes and last fetches; never their material"),
    "key.activate": mark("Activate keys"),
    "key.deactivate": mark("Deactivate keys and mark them compromised"),
    "key.restore": mark("Restore deactivated keys to active, and take a destruction back"),
    "key.destroy": mark("Destroy keys; for 30 days that can be taken back"),
    "key.purge": mark("Purge destroyed keys for good"),
    "approval.read": mark("See what waits for a second person"),
    "approval.agree": mark("Agree as the second person to what needs two"),
    "key-manager.read": mark("List key managers and their root keys"),
    "root-key.create": mark("Make root keys"),
    "root-key.rotate": mark("Rotate root keys, and have keys wrapped by the newest version"),
    "root-key.policy": mark("Set when root keys are rotated, and that it takes two to delete one"),
    "root-key.disable": mark("Disable root keys: no key under them is handed out"),
    "root-key.delete": mark("Delete root keys; for 30 days that can be taken back"),
    "root-key.restore": mark("Enable disabled root keys, and restore deleted ones"),
    "journal.read": mark("Read, search, follow and export the journal"),
    "journal.verify": mark("Verify the journal and its checkpoints"),
    "journal.cut": mark("Cut the journal where its retention ends"),
    "person.read": mark("See people, their roles and API keys"),
    "person.change": mark("Add people, grant roles, lock people out, revoke API keys"),
    "server.read": mark("See the server's health, certificate and settings"),
    "server.change": mark("Renew the server's certificate"),
}
"""By the right's title, as ``domain.rights`` has them; a test holds the two together."""

_TITLES: Final[Mapping[str, str]] = {
    "instance": mark("Instances"),
    "certificate": mark("Client certificates"),
    "key": mark("Keys"),
    "root-key": mark("Root keys"),
    "approval": mark("Second person"),
    "key-manager": mark("Key managers"),
    "journal": mark("Journal"),
    "person": mark("People"),
    "server": mark("Server"),
}
_OF: Final = {"authority": "certificate", "stranger": "certificate"}


def _grouped() -> Sequence[tuple[str, Sequence[Right]]]:
    groups: dict[str, list[Right]] = {}
    for right in Right:
        noun = right.title.partition(".")[0]
        groups.setdefault(_OF.get(noun, noun), []).append(right)
    return [(_TITLES.get(noun, noun), rights) for noun, rights in groups.items()]


GROUPS: Final = _grouped()
"""Rights by what they are about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An act on a person, as the page asks for it once more."""

    title: str
    """With ``{name}``."""
    happens: Sequence[str]
    """What it does, a sentence each."""
    button: str
    danger: bool = False


ACTS: Final[Mapping[str, Asked]] = {
    "grant": Asked(
        title=mark("Give %(name)s a role"),
        happens=[mark("The person's log-ins end, so that it counts at once.")],
        button=mark("Give the role"),
    ),
    "take": Asked(
        title=mark("Take a role back from %(name)s"),
        happens=[mark("It counts at the next request, for API keys too. The person's log-ins end.")],
        button=mark("Take the role back"),
        danger=True,
    ),
    "lock": Asked(
        title=mark("Lock %(name)s out"),
        happens=[
            mark("No log-in, no API key and no one-time link of this person counts any more, at once."),
            mark("Programs that use the person's API keys stop working."),
            mark("Roles stay, and the person can be let in again."),
        ],
        button=mark("Lock out"),
        danger=True,
    ),
    "unlock": Asked(
        title=mark("Let %(name)s in again"),
        happens=[mark("The password, the roles and all API keys that were not revoked count again.")],
        button=mark("Let in again"),
    ),
    "remove": Asked(
        title=mark("Remove %(name)s for good"),
        happens=[
            mark("Password, roles and API keys are gone at once, and nothing brings them back."),
            mark("The name is never given again, since the journal knows people by it."),
            mark("To keep somebody out for a while, lock the person out instead."),
        ],
        button=mark("Remove for good"),
        danger=True,
    ),
    "link": Asked(
        title=mark("New one-time link for %(name)s"),
        happens=[
            mark("With it the person sets a password, once, within 24 hours. An older link counts no more."),
            mark("The password that is set now counts until then."),
        ],
        button=mark("Make the link"),
    ),
    "log-ins": Asked(
        title=mark("End log-ins of %(name)s"),
        happens=[mark("They end at the next request. The person can log in again.")],
        button=mark("End them"),
    ),
    "api-key": Asked(
        title=mark("Revoke an API key of %(name)s"),
        happens=[mark("It counts no more, at once and for good. Programs that use it stop working.")],
        button=mark("Revoke"),
        danger=True,
    ),
}
"""By the last part of the address."""

tells(
    {
        "person-grant": mark("The role is given. The person's log-ins have ended, so that it counts at once."),
        "person-take": mark("The role is taken back."),
        "person-lock": mark("The person is locked out: no log-in, no API key and no link counts any more."),
        "person-unlock": mark("The person may log in again."),
        "person-remove": mark("The person is removed. The journal keeps the name."),
        "person-log-ins": mark("The log-ins have ended."),
        "person-api-key": mark("The API key counts no more."),
    }
)
