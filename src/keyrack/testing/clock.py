"""A clock for tests."""


class Clock:
    """Stands still until it is told to go on."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        """Begin at ``now``, seconds since 1970."""
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def go_on(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
