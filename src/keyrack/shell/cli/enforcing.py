"""A change of trust is shown when it counts: commands wait, a moment, until every serving process has taken it."""

from typing import TYPE_CHECKING

from keyrack.shell.cli import screen

if TYPE_CHECKING:
    from keyrack.shell.kmip.taken import InForce
    from keyrack.shell.office import Office


async def taken_everywhere(office: "Office") -> "InForce":
    """Wait until what was committed is in force in every process that serves here, at most two seconds."""
    from keyrack.shell.kmip.taken import generation_taken, in_force

    generation = await office.catalog.generation()
    return await in_force(office.config.run_directory, generation_taken(generation))


def tell(found: "InForce") -> None:
    """Where it is in force."""
    screen.say(f"{found.told()[:1].upper()}{found.told()[1:]}.")
    if not found.everywhere:
        screen.warn("a process has not taken it yet: each request is refused or allowed by the catalog all the same")
