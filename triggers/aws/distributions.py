"""What is installed in this Python: distributions, with what they need."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*(?:\[([^\]]*)\])?")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")


class NotInstalled(LookupError):
    """A distribution that was asked for is not installed. `name` says which."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def normal(name: str) -> str:
    """Return the name of a distribution as all spellings of it have it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split(requirement: str) -> tuple[str, frozenset[str]]:
    """Return the normal name and the extras of a requirement, as in `pandas[aws]>=2`; no name where it has none."""
    match = _REQUIREMENT.match(requirement.strip())
    if not match:
        return "", frozenset()
    extras = (match[2] or "").split(",")
    return normal(match[1]), frozenset(normal(one.strip()) for one in extras if one.strip())


def closure(requirements: Iterable[str]) -> list[Distribution]:
    """Return the distributions that requirements name and all that those need; raise `NotInstalled` for a named one.

    What one of them needs and is not installed is for another Python or system.
    """
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    left = [(split(one), True) for one in requirements]
    while left:
        wanted, named = left.pop()
        if wanted in found:
            continue
        try:
            found[wanted] = distribution(wanted[0])
        except PackageNotFoundError:
            if named:
                raise NotInstalled(wanted[0]) from None
            continue
        left += [(one, False) for one in _needs(found[wanted], wanted[1])]
    return list({name: one for (name, _), one in found.items()}.values())


def _needs(one: Distribution, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    for line in one.requires or ():
        requirement, _, marker = line.partition(";")
        extra = _EXTRA.search(marker)
        if extra is None or normal(extra[1]) in extras:
            yield split(requirement)


__all__ = ["NotInstalled", "closure", "normal", "split"]
