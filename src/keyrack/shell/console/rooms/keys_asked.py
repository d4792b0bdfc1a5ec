"""Which keys the table shows, in which order and which page of them: all of it stands in the address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final
from urllib.parse import urlencode

from keyrack.ports.key_affairs import KeyFilter, KeyOrder
from keyrack.shell.console.calls import Typed
from keyrack.shell.console.rooms.keys_words import TITLES
from keyrack.shell.console.words import mark

DAY: Final = 86_400
LONGEST: Final = 100
AGES: Final[Mapping[str, tuple[str, dict[str, int]]]] = {
    "1": (mark("Made within a day"), {"created_since": 1}),
    "7": (mark("Made within 7 days"), {"created_since": 7}),
    "30": (mark("Made within 30 days"), {"created_since": 30}),
    "over-30": (mark("Older than 30 days"), {"created_before": 30}),
    "over-365": (mark("Older than a year"), {"created_before": 365}),
}
"""By what the address says: what the choice is called, and which bound it sets, so many days ago."""
FETCHES: Final[Mapping[str, tuple[str, dict[str, int]]]] = {
    "1": (mark("Fetched within a day"), {"fetched_since": 1}),
    "30": (mark("Fetched within 30 days"), {"fetched_since": 30}),
    "over-30": (mark("Not fetched for 30 days"), {"not_fetched_since": 30}),
    "over-90": (mark("Not fetched for 90 days"), {"not_fetched_since": 90}),
    "over-400": (mark("Not fetched for 400 days"), {"not_fetched_since": 400}),
    "never": (mark("Never fetched"), {}),
}
KINDS: Final[Mapping[str, str]] = {
    "withheld": mark("Withheld: its standard key is gone"),
    "unlabelled": mark("Not labelled by a vCenter: perhaps orphans"),
    "recoverable": mark("Destroyed, and can be undone"),
}
ORDERS: Final[Mapping[KeyOrder, bool]] = {KeyOrder.CREATED: True, KeyOrder.FETCHED: True, KeyOrder.NAME: False}
"""Whether a column that is chosen is sorted downwards first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the address says; an unknown word in it counts as none."""

    state: str = ""
    named: str = ""
    id: str = ""
    component: str = ""
    age: str = ""
    fetched: str = ""
    only: str = ""
    sort: str = "-created"
    """A column, with a minus before it where it is sorted downwards."""

    @classmethod
    def of(cls, typed: Typed) -> "Asked":
        """From the query."""
        choices: Mapping[str, Any] = {"state": TITLES, "age": AGES, "fetched": FETCHES, "only": KINDS, "sort": _SORTS}
        said = {each.name: typed.get(each.name)[:LONGEST] for each in fields(cls)}
        return cls(**{name: word for name, word in said.items() if word and word in choices.get(name, (word,))})

    def filter(self, now: int) -> KeyFilter:
        """For the catalog; ``now`` is seconds since 1970."""
        bounds = {**(AGES[self.age][1] if self.age else {}), **(FETCHES[self.fetched][1] if self.fetched else {})}
        since: dict[str, Any] = {name: now - days * DAY for name, days in bounds.items()}
        return KeyFilter(
            states=frozenset({TITLES[self.state]}) if self.state else frozenset(),
            prefix=self.id.lower(),
            named=self.named,
            component=self.component,
            never_fetched=self.fetched == "never",
            withheld=self.only == "withheld",
            unlabelled=self.only == "unlabelled",
            recoverable=self.only == "recoverable",
            **since,
        )

    @property
    def narrows(self) -> bool:
        """Whether anything is left out."""
        return replace(self, sort="-created") != Asked()

    @property
    def order(self) -> KeyOrder:
        """The column."""
        return KeyOrder(self.sort.removeprefix("-"))

    @property
    def descending(self) -> bool:
        """Whether it goes downwards."""
        return self.sort.startswith("-")

    def pairs(self, **more: str) -> Sequence[tuple[str, str]]:
        """What of it is not as usual, for an address or a form."""
        mine = [(each.name, getattr(self, each.name)) for each in fields(self)]
        usual = Asked()
        said = [(name, word) for name, word in mine if word != getattr(usual, name)]
        return [*said, *((name, word) for name, word in more.items() if word)]

    def query(self, **more: str) -> str:
        """For an address, with its question mark; empty where all is as usual."""
        pairs = self.pairs(**more)
        return f"?{urlencode(pairs)}" if pairs else ""

    def by(self, column: str) -> "Asked":
        """The same sorted by a column; once more turns it round."""
        order = KeyOrder(column)
        down = not self.descending if order is self.order else ORDERS[order]
        return replace(self, sort=f"-{column}" if down else column)

    def in_state(self, title: str) -> "Asked":
        """The same in one state, or in all of them."""
        return replace(self, state=title)


_SORTS: Final = frozenset(f"{way}{order}" for order in KeyOrder for way in ("", "-"))
