"""Whether a second person is another hand: nobody is, whom the first has let in since two are asked for.

Whoever may add people could else make the second one, or take over somebody's log-in by a link, and agree with oneself.
Whoever works on the machine may everything, and is no such hand as long as it is neither of the two.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from keyrack.domain.approvals import Approval, Wisher, somebody
from keyrack.domain.instances import Instance
from keyrack.domain.journal import Entry
from keyrack.ports.journal import JournalBook, JournalQuery
from keyrack.ports.people import PeopleBook
from keyrack.service.journal.naming import entry_of
from keyrack.service.office.refusals import SamePerson

LETTING_IN: Final = (
    "person.add",
    "person.invite",
    "person.link",
    "person.grant",
    "person.enable",
    "person.password",
    "api-key.create",
)
"""Acts by which somebody gets a way in, or a role, from somebody else."""
_SWITCH: Final = "instance.dual-control"
_PAGE: Final = 500
_PERSON: Final = "person-"


async def refuse_one_hand(
    journal: JournalBook, book: PeopleBook, instance: Instance, asked: Approval, agrees: Wisher
) -> None:
    """Raise :class:`SamePerson` where one hand may have led both, who asked and who agrees."""
    if instance.dual_control_at is None:
        return
    names = {each.identifier: each.name for each in await book.persons()}
    givers = _givers(await _let_in(journal, instance), names)
    both = {somebody(asked.asked_by), somebody(agrees.initiator)}
    hands = [_hands(each, givers) for each in (asked.asked_by, agrees.initiator)]
    one = {each for each in hands[0] & hands[1] if each.startswith(_PERSON) or somebody(each) in both}
    if one:
        raise SamePerson(
            f"{min(one)} has let in, or given a role to, who asks or who agrees, since two are asked for: that may be "
            "one hand",
            hint="let somebody agree who was there before, or whom somebody else has let in",
        )


async def _let_in(journal: JournalBook, instance: Instance) -> list[Entry]:
    """Newest first, up to the record that switched it on: seconds alone would count what came just before it."""
    query = JournalQuery(
        since=(instance.dual_control_at or 0) * 1000, actions=(*LETTING_IN, _SWITCH), outcome="success"
    )
    found: list[Entry] = []
    before: int | None = None
    while True:
        page = await journal.find(query, before=before, limit=_PAGE)
        for entry in map(entry_of, page.records):
            if entry.action == _SWITCH:
                if entry.instance == instance.identifier:
                    return found
            else:
                found.append(entry)
        if (before := page.before) is None:
            return found


def _givers(entries: Iterable[Entry], names: Mapping[str, str]) -> Mapping[str, set[str]]:
    """By who was let in, as :func:`somebody` names people: the initiators who did it."""
    made: dict[str, set[str]] = {}
    for each in entries:
        who = each.detail.get("person") if each.action == "api-key.create" else names.get(each.target)
        if who is not None and somebody(each.initiator) != somebody(f"{_PERSON}{who}"):
            made.setdefault(somebody(f"{_PERSON}{who}"), set()).add(each.initiator)
    return made


def _hands(initiator: str, givers: Mapping[str, set[str]]) -> set[str]:
    """Whoever may lead it: itself, who has let it in, who has let in that one, and so on."""
    found, waiting = set[str](), [initiator]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += givers.get(somebody(one), ())
    return found
