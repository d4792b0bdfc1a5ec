"""Every destructive act of the console, as a security officer reads it: who may, what is typed and proved, who agrees.

The table is written by hand and not taken from the rights: where somebody gives a role more, the test that walks
through all of it says so. ``python -m keyrack.testing.console_acts`` prints it as ``docs/console-acts.md`` shows it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from keyrack.domain.rights import Role

MACHINE: Final = "the machine's name"
INSTANCE: Final = "the instance's name"
PERSON: Final = "the person's name"
_OFFICER: Final = frozenset({Role.SECURITY_OFFICER})
_ADMINISTRATOR: Final = frozenset({Role.ADMINISTRATOR})
_BOTH: Final = _OFFICER | _ADMINISTRATOR


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleAct:
    """One act."""

    name: str
    told: str
    path: str
    """Of its form; ``{instance}``, ``{key}``, ``{certificate}``, ``{authority}`` and ``{person}`` stand for targets."""
    roles: frozenset[Role]
    """Who may, everywhere or for the one instance."""
    words: str = ""
    """What is typed; empty where nothing is."""
    into: str = "confirmation"
    """The field that it is typed into."""
    proved: bool = True
    """Whether a proof that is older than five minutes is asked for anew."""
    two: bool = False
    """Whether an instance under dual control wants a second person for it."""
    back: str = ""
    """What takes it back; empty where nothing does."""
    typed: Mapping[str, str] = field(default_factory=dict)
    """What else the form has."""
    begins: str = ""
    """What the target has to be before it: a word that the test knows."""
    words_first: bool = False
    """Whether the words are asked for before the proof."""
    shown_first: bool = False
    """Whether the form shows first what it would do, and does it when it is sent again."""

    @property
    def scoped(self) -> bool:
        """Whether a role for one instance is enough."""
        return not self.path.startswith("/people/")


ACTS: Final[Sequence[ConsoleAct]] = (
    ConsoleAct(
        name="deactivate a key",
        told="vCenter and hosts do not use it any more",
        path="/instances/{instance}/keys/{key}/deactivate",
        roles=_OFFICER,
        words=MACHINE,
        back="restore to active",
    ),
    ConsoleAct(
        name="mark a key as compromised",
        told="vCenter and hosts do not use it any more",
        path="/instances/{instance}/keys/{key}/compromise",
        roles=_OFFICER,
        words=MACHINE,
    ),
    ConsoleAct(
        name="destroy a key",
        told="no client is given it any more",
        path="/instances/{instance}/keys/{key}/destroy",
        roles=_OFFICER,
        words=MACHINE,
        two=True,
        back="undo, for 30 days",
        begins="deactivated",
    ),
    ConsoleAct(
        name="purge a key",
        told="whatever it has encrypted is lost",
        path="/instances/{instance}/keys/{key}/purge",
        roles=_OFFICER,
        words=MACHINE,
        two=True,
        begins="destroyed",
    ),
    ConsoleAct(
        name="destroy chosen keys",
        told="as for one, all or none",
        path="/instances/{instance}/key-acts",
        roles=_OFFICER,
        words=MACHINE,
        two=True,
        back="undo, for 30 days",
        typed={"act": "destroy", "keys": "{key}"},
        begins="deactivated",
    ),
    ConsoleAct(
        name="deactivate an instance",
        told="none of its clients is served",
        path="/instances/{instance}/deactivate",
        roles=_ADMINISTRATOR | {Role.OPERATOR},
        words=INSTANCE,
        proved=False,
        back="activate",
        typed={"seen": "{seen}"},
    ),
    ConsoleAct(
        name="seal an instance",
        told="no key of it is handed out",
        path="/instances/{instance}/seal",
        roles=_BOTH,
        words=INSTANCE,
        proved=False,
        back="unseal",
    ),
    ConsoleAct(
        name="remove an instance",
        told="its name and settings are forgotten; nothing may hang on it",
        path="/instances/{instance}/remove",
        roles=_ADMINISTRATOR,
        words=INSTANCE,
        two=True,
        typed={"seen": "{seen}"},
        begins="empty",
        words_first=True,
    ),
    ConsoleAct(
        name="set the quotas of an instance",
        told="what is over a quota is refused",
        path="/instances/{instance}/quotas",
        roles=_BOTH,
        two=True,
        back="set them anew",
        typed={"form": "quotas", "seen": "{seen}", "keys": "7", "certificates": "7", "requests": "7"},
    ),
    ConsoleAct(
        name="end dual control",
        told="one person decides alone",
        path="/instances/{instance}/let-one-decide",
        roles=_BOTH,
        two=True,
        back="require two anew",
        typed={"form": "let-one-decide", "seen": "{seen}"},
        begins="dual control",
    ),
    ConsoleAct(
        name="remove a client certificate",
        told="whoever uses it is given no key",
        path="/instances/{instance}/certificates/{certificate}/remove",
        roles=_BOTH,
        words=INSTANCE,
        back="add it anew",
    ),
    ConsoleAct(
        name="bar a certificate",
        told="no authority lets it in any more",
        path="/instances/{instance}/admitted/{stranger}/bar",
        roles=_BOTH,
        words=INSTANCE,
        back="unbar",
    ),
    ConsoleAct(
        name="trust an authority",
        told="its clients are let in",
        path="/instances/{instance}/authorities/add",
        roles=_BOTH,
        back="end the trust",
        typed={"pem": "{pem}", "name": "new", "subject_pattern": "CN=vc*", "san_pattern": ""},
        shown_first=True,
    ),
    ConsoleAct(
        name="end the trust in an authority",
        told="its clients are let in no more",
        path="/instances/{instance}/authorities/{authority}/remove",
        roles=_BOTH,
        words=INSTANCE,
        back="trust it anew",
        begins="authority",
    ),
    ConsoleAct(
        name="lock a person out",
        told="their log-ins and API keys end",
        path="/people/{person}/lock",
        roles=_ADMINISTRATOR,
        back="unlock",
    ),
    ConsoleAct(
        name="remove a person",
        told="they never come back",
        path="/people/{person}/remove",
        roles=_ADMINISTRATOR,
        words=PERSON,
        into="name",
    ),
    ConsoleAct(
        name="give a person a role",
        told="they may what the role may",
        path="/people/{person}/grant",
        roles=_ADMINISTRATOR,
        back="take it",
        typed={"role": "administrator"},
    ),
    ConsoleAct(
        name="take a role from a person",
        told="they may not any more what it may",
        path="/people/{person}/take",
        roles=_ADMINISTRATOR,
        back="give it anew",
        typed={"role": "viewer"},
    ),
)
"""In the order of the menu."""


def markdown() -> str:
    """The table."""
    lines = [
        "Whoever has none of the roles is refused, with every confirmation and every proof. Whoever has one for",
        "another instance alone is told that there is none. A role for the one instance is enough where the act is",
        "of an instance. Without the words, or with others, nothing is done. The words of several keys are how many",
        "there are. No act is done by a link, by another site's page, or without the token of the log-in's own forms.",
        "",
        "| act | what happens | who may | what is typed | proof within 5 minutes | second person | taken back by |",
        "|---|---|---|---|:-:|:-:|---|",
    ]
    lines += [f"| {' | '.join(_cells(act))} |" for act in ACTS]
    return "\n".join(lines) + "\n"


def _cells(act: ConsoleAct) -> Sequence[str]:
    return (
        act.name,
        act.told,
        ", ".join(sorted(act.roles)),
        act.words or "–",
        "✓" if act.proved else "",
        "under dual control" if act.two else "",
        act.back or "nothing",
    )


if __name__ == "__main__":
    print(markdown(), end="")  # noqa: T201
