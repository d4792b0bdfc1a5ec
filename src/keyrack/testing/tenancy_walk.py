"""Random operations over both faces, one after the other: what the proof of tenancy walks."""

from dataclasses import dataclass, field
from typing import Final

from fastapi import FastAPI

from keyrack.testing.tenancy import World
from keyrack.testing.tenancy_calls import routes_of
from keyrack.testing.tenancy_kmip import KmipGame
from keyrack.testing.tenancy_rest import Broken, RestGame

TEND_EVERY: Final = 80
"""Operations after which what the walk has put out of service is put back."""


@dataclass(slots=True)
class Walk:
    """A walk through a world; ``operations`` counts what was asked, twins too."""

    world: World
    app: FastAPI
    rest: RestGame = field(init=False)
    kmip: KmipGame = field(init=False)

    def __post_init__(self) -> None:
        """Begin."""
        self.rest = RestGame(self.world, routes_of(self.app))
        self.kmip = KmipGame(self.world)

    @property
    def operations(self) -> int:
        """How many were asked."""
        return self.rest.asked + self.kmip.asked

    async def go(self, operations: int, *, seed: int) -> None:
        """Until so many were asked; what is broken is told with the seed that leads there again."""
        steps = 0
        try:
            while self.operations < operations:
                steps += 1
                if steps % TEND_EVERY == 0:
                    await self.world.tend()
                await (self.rest if self.world.dice.random() < 0.55 else self.kmip).step()
        except Broken as error:
            raise Broken(f"seed {seed}, step {steps}: {error}") from None
