"""`python -m infra.audit`: is what is installed what `requirements.lock` names, and may it be used? Exits with 1 if no.

It asks nobody: versions and licences are read from what is installed. Hashes are checked by pip when it installs.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final

LOCK: Final = Path(__file__).parents[1] / "requirements.lock"

ALLOWED: Final = {
    "0BSD", "AFL-2.1", "Apache-2.0", "Apache Software License", "BSD", "BSD License", "BSD-2-Clause", "BSD-3-Clause",
    "CC0-1.0", "CNRI-Python", "ISC", "MIT", "MIT License", "MIT-0", "PSF-2.0", "Python Software Foundation License",
    "Zlib", "any-OSI",
    "MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)",
}  # fmt: skip
"""Licences by which anybody may use and ship this package beside theirs. MPL's duties end at its own files."""

READ: Final = {"skops": "MIT"}
"""Of those whose metadata names none: what their licence files say."""

_LOCKED: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^ \\;]+)", re.MULTILINE)


def locked(text: str) -> dict[str, str]:
    """Return the versions that a lock file names, by the packages' normal names."""
    return {normal(name): version for name, version in _LOCKED.findall(text)}


def normal(name: str) -> str:
    """Return the one name of a package that may be written in several ways."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(found: Distribution) -> str:
    """Return the licence that a package's metadata names, empty where it names none."""
    told = found.metadata.get_all("Classifier") or []
    classes = [text.rpartition(" :: ")[2] for text in told if text.startswith("License :: ") and text.count("::") > 1]
    lines = str(found.metadata.get("License") or "").splitlines()[:1]
    expression = found.metadata.get("License-Expression")
    return str(expression or "; ".join(classes) or "".join(lines) or READ.get(normal(found.name), ""))


def allowed(text: str) -> bool:
    """Say whether a licence will do: all that are joined by AND or `;`, and of those joined by OR any."""
    every = re.split(r" AND |; ", text.replace("(", "").replace(")", "") if " OR " in text else text)
    return all(any(one.strip() in ALLOWED for one in part.split(" OR ")) for part in every)


def problems(installed: Mapping[str, Distribution], wanted: Mapping[str, str]) -> Iterator[str]:
    """Yield what is wrong, a line for each package."""
    for name, found in sorted(installed.items()):
        if name not in wanted:
            continue
        if found.version != wanted[name]:
            yield f"{name} is installed as {found.version}, and locked as {wanted[name]}: make clean, and make it anew"
        if not allowed(said := licence(found)):
            yield f"{name} {found.version} is under {said or 'no licence that it names'}: replace it, or add to ALLOWED"


def main() -> int:
    """Print what is wrong."""
    wanted = locked(LOCK.read_text())
    installed = {normal(found.name): found for found in distributions()}
    wrong = list(problems(installed, wanted))
    for line in wrong:
        print(line, file=sys.stderr)
    print(f"{len(installed.keys() & wanted.keys())} packages, {len(wrong)} problems")
    print(f"not locked, so not looked at: {', '.join(sorted(installed.keys() - wanted.keys()))}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
