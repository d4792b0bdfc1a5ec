"""The fourth step tried out: a name and a password that the rules allow."""

from collections.abc import Sequence
from typing import Final

from keyrack.service.office.refusals import Refused
from keyrack.service.people.passwords import check
from keyrack.service.people.persons import check_name
from keyrack.shell.console.first_start.desk import Desk
from keyrack.shell.console.first_start.plans import WAY_PASSWORD
from keyrack.shell.console.first_start.tried import Tried, failed, refused, remark, well
from keyrack.shell.console.words import mark

NAME, PASSWORD = mark("Name"), mark("Password")
LATER: Final = mark(
    "nobody can log in to the console until OpenID Connect is configured, or somebody is added at the machine"
)


async def try_administrator(desk: Desk) -> Sequence[Tried]:
    """Whether it can be the first person."""
    draft = desk.draft
    if draft["way"] != WAY_PASSWORD:
        return [remark(NAME, LATER)]
    name = draft["first_person"].lower()
    found: list[Tried] = []
    try:
        check_name(name)
    except Refused as error:
        found.append(refused(NAME, error, "first_person"))
    if "password" in draft.differ:
        return [*found, failed(PASSWORD, mark("the two passwords are not the same"), "password_again")]
    if (password := draft.secrets.get("password")) is None:
        return [*found, failed(PASSWORD, mark("type a password, twice"), "password")]
    try:
        check(password.reveal().decode(errors="surrogatepass"), (name,))
    except Refused as error:
        found.append(refused(PASSWORD, error, "password"))
    return found or [well(NAME, mark("%(name)s will be administrator and security officer"), name=name)]
