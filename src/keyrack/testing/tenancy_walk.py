"""Random operations over both faces, one after the other: what the proof of tenancy walks."""

import logging
from dataclasses import dataclass, field
from typing import Final

from fastapi import FastAPI

from keyrack.testing.tenancy import World
from keyrack.testing.tenancy_calls import routes_of
from keyrack.testing.tenancy_kmip import KmipGame
from keyrack.testing.tenancy_rest import RestGame
from keyrack.testing.tenancy_verdict import Broken

TEND_EVERY: Final = 80
"""Operations after which what the walk has put out of service is put back."""


class _Heard(logging.Handler):
    """Keeps what the server says of a fault of its own, which no answer tells."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        self.last = f"{record.getMessage()} {vars(record).get('error', '')} {vars(record).get('trace', '')}"


@dataclass(slots=True)
class Walk:
    """A walk through a world; ``operations`` counts what was asked, twins too."""

    world: World
    app: FastAPI
    without: frozenset[str] = frozenset()
    """Calls that are left out."""
    rest: RestGame = field(init=False)
    kmip: KmipGame = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.rest = RestGame(self.world, [each for each in routes_of(self.app) if each.name not in self.without])
        self.kmip = KmipGame(self.world)

    @property
    def operations(self) -> int:
        """How many were asked."""
        return self.rest.asked + self.kmip.asked

    async def go(self, operations: int, *, seed: int) -> None:
        """Until so many were asked; what is broken is told with the seed that leads there again."""
        steps, heard = 0, _Heard()
        logging.getLogger("keyrack").addHandler(heard)
        try:
            while self.operations < operations:
                steps += 1
                if steps % TEND_EVERY == 0:
                    await self.world.tend()
                await (self.rest if self.world.dice.random() < 0.55 else self.kmip).step()
        except Broken as error:
            raise Broken(f"seed {seed}, step {steps}: {error}\n  log: {heard.last}") from None
        finally:
            logging.getLogger("keyrack").removeHandler(heard)
