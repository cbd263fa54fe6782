"""What keeps an app from being deployed, all of it at once, and what AWS does in another way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triggers.errors import WiringError


class Problems:
    """What is refused, each with its reason and the way out; and `notes` of what is not exactly as it is elsewhere."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.notes: list[str] = []

    def add(self, problem: str) -> None:
        """Refuse something."""
        if problem not in self.refused:
            self.refused.append(problem)

    def note(self, note: str) -> None:
        """Say what AWS does in another way."""
        if note not in self.notes:
            self.notes.append(note)

    @contextmanager
    def collected(self) -> Iterator[None]:
        """Take a `WiringError` of the block for a problem and go on behind it."""
        try:
            yield
        except WiringError as error:
            self.add(str(error))

    def settle(self) -> None:
        """Raise one `WiringError` with a line for each problem, where there are any."""
        if self.refused:
            raise WiringError("\n".join(self.refused))
