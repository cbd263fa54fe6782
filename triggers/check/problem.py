"""Something wrong with an app, as `triggers check` tells it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with the wiring. An error keeps the app from running, a warning does not."""

    error: bool
    message: str

    def __str__(self) -> str:
        return f"{'error' if self.error else 'warning'}: {self.message}"
