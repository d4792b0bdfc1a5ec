"""The first person of a new deployment: both roles, and a password, or a link that sets one, once, within a day."""

import re
from typing import Final

from keyrack.domain.people import is_name
from keyrack.domain.rights import Grant, Role
from keyrack.domain.secret import Secret
from keyrack.service.office.administration import Administration, Administrator
from keyrack.service.people import letting_in, persons
from keyrack.service.people.passwords import Passwords
from keyrack.shell.catalogs import open_catalog
from keyrack.shell.config.whole import Config
from keyrack.shell.links import set_password_link
from keyrack.shell.office import clock

GRANTS: Final = (Grant(Role.ADMINISTRATOR), Grant(Role.SECURITY_OFFICER))
"""One person has to begin; whoever follows gets one of them."""


async def enter_first_person(
    config: Config, name: str, by: Administrator, password: Secret | None = None
) -> str | None:
    """Enter the person; answers the link, which is told this one time, where there is no ``password`` yet."""
    catalog = await open_catalog(config, "administration")
    try:
        administration = Administration(catalog, {}, by, clock)
        made = await persons.add(administration, catalog, name, GRANTS)
        if password is not None:
            await letting_in.set_password(administration, catalog, Passwords(), made, password.reveal().decode())
            return None
        return set_password_link(config, await letting_in.invite(administration, catalog, made))
    finally:
        await catalog.close()


def name_of_account(account: str) -> str:
    """The name for a person whose account at the machine is called so."""
    made = re.sub(r"[^a-z0-9._-]+", "-", account.lower()).strip("-._")[:63].strip("-._")
    return made if is_name(made) else "administrator"
