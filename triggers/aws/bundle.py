"""The zip of an app for Lambda: its own code, the part of triggers that a function needs, and libraries.

::

    made = bundle("churn.app:app", Platform("3.13", "arm64"), requirements([Path("requirements.txt")]))
    made.write(Path("churn.zip"))

The same code and the same versions make the same bytes. What there is of triggers is found by reading what the entry
and the public names import: a module that needs what is not packed cannot be loaded in a function and is left out.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import triggers
from triggers.aws import imports
from triggers.aws.bytecode import compiled
from triggers.aws.entries import Entry, of_file
from triggers.aws.libraries import PROVIDED, Libraries, Platform, downloaded, own_packages
from triggers.errors import WiringError

ENTRY: Final = "triggers.aws.serverless"
UNPACKED: Final = 250 * 1024 * 1024
"""Bytes of files that Lambda takes."""
DIRECT: Final = 50 * 1024 * 1024
"""Bytes of a zip that Lambda takes without a bucket."""

_TIME: Final = (1980, 1, 1, 0, 0, 0)
_LARGEST: Final = 5
"""Parts that are named where a zip is too large."""
_OURS: Final = Path(triggers.__file__).parent
_INSTALLED: Final = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}


@dataclass(frozen=True, slots=True)
class Bundle:
    """What goes into the zip, by its place in it."""

    entries: Mapping[str, Entry]

    @property
    def size(self) -> int:
        """Return the bytes of all files."""
        return sum(entry.size for entry in self.entries.values())

    def parts(self) -> list[tuple[str, int]]:
        """Return the packages with their bytes, the largest first."""
        sizes: Counter[str] = Counter()
        for place, entry in self.entries.items():
            sizes[place.partition("/")[0]] += entry.size
        return sorted(sizes.items(), key=lambda part: (-part[1], part[0]))

    def write(self, file: Path) -> str:
        """Write the zip, whole or not at all, and return its SHA-256. Raises `WiringError` where it is too large."""
        self.check()
        new = file.with_name(f".{file.name}.new")
        try:
            with ZipFile(new, "w", ZIP_DEFLATED) as packed:
                for place in sorted(self.entries):
                    packed.writestr(_info(place, self.entries[place]), self.entries[place].read())
            new.replace(file)
        finally:
            new.unlink(missing_ok=True)
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def check(self) -> None:
        """Raise `WiringError` where Lambda would not take so many bytes."""
        if self.size > UNPACKED:
            raise WiringError(
                f"the package has {megabytes(self.size)} unpacked, and Lambda takes {megabytes(UNPACKED)}; the largest"
                f" parts are {self._largest()}; leave out what the functions do not need, deploy an image"
                " (infra/Dockerfile), or have the routes that need the large parts run as Batch jobs (--job ROUTE),"
                " whose image has them, and import those in their handlers"
            )

    def _largest(self) -> str:
        return ", ".join(f"{name} ({megabytes(size)})" for name, size in self.parts()[:_LARGEST])


def bundle(
    target: str,
    platform: Platform,
    lines: Sequence[str] = (),
    *,
    include: Iterable[Path] = (),
    provided: Collection[str] = (),
    leave_out: Collection[Path] = (),
    libraries: Libraries = downloaded,
) -> Bundle:
    """Return what goes into the zip of an app, `module:app`, whose module can be imported.

    A module is packed with the files beside it that it imports; a package is packed whole, without its tests. `include`
    are files and packages from elsewhere, and `leave_out` folders of data. `lines` are requirements; `provided` are
    packages that a layer has. What every cold start loads is compiled where the function's Python is on this machine.
    Raises `WiringError` where something that is imported at the start is in none of them.
    """
    packed = libraries(lines, platform)
    names = {place.partition("/")[0].partition(".")[0] for place in packed}
    module = target.partition(":")[0]
    folder = _folder(module)
    own, read = _own(module, folder, {path.resolve() for path in leave_out})
    for path in include:
        own.update(_tree(path.parent, path.name, set()))
    there = {*names, *PROVIDED, *provided, "triggers", *(place.partition("/")[0].removesuffix(".py") for place in own)}
    _check_imports({name: read[name] for name in imports.reached(read, [module], later=False)}, there)
    ours = _of_triggers({name for one in read.values() for name in (*one.first, *one.later)}, there)
    for other in (packed, ours):
        if twice := sorted(own.keys() & other.keys()):
            raise WiringError(f"{twice[0]} is both yours and a library's; give your module another name")
    always = own_packages()
    loaded = {place: entry for place, entry in packed.items() if place.partition("/")[0] in always}
    return Bundle({**packed, **ours, **own, **compiled({**loaded, **ours, **own}, platform.python)})


def unpack(file: Path, folder: Path) -> None:
    """Unpack a zip into a folder, as Lambda does."""
    with ZipFile(file) as packed:
        packed.extractall(folder)
        for info in packed.infolist():
            os.chmod(folder / info.filename, (info.external_attr >> 16) & 0o777)


# --- the app's own code --------------------------------------------------------------------------


def _folder(module: str) -> Path:
    """Return the folder in which Python finds a module."""
    try:
        spec = find_spec(module)
    except ImportError:
        spec = None
    if spec is None or spec.origin is None:
        raise WiringError(f"no module {module!r} is found on Python's path, so that it cannot be packed")
    file = Path(spec.origin).resolve()
    depth = module.count(".") + (file.name == "__init__.py")
    return file.parents[depth]


def _own(module: str, folder: Path, leave_out: Collection[Path]) -> tuple[dict[str, Entry], dict[str, imports.Module]]:
    """Return the app's files, and those of its modules that the module leads to."""
    found = imports.read(folder, [module])
    top = {name.partition(".")[0] for name in found}
    if folder in _INSTALLED or folder == _OURS.parent:  # the neighbours there are no part of the app
        top = {module.partition(".")[0]}
    top -= {_OURS.name}
    entries: dict[str, Entry] = {}
    for name in top:
        packaged = (folder / name).is_dir()
        entries.update(_tree(folder, name if packaged else f"{name}.py", leave_out))
    return entries, {name: one for name, one in found.items() if name.partition(".")[0] in top}


def _tree(folder: Path, name: str, leave_out: Collection[Path]) -> Iterator[tuple[str, Entry]]:
    """Yield a file, or the files of a package without its tests, by their places in the zip."""
    if (folder / name).is_file():
        yield name, of_file(folder / name)
        return
    if not (folder / name).is_dir():
        raise WiringError(f"there is no file or package {folder / name} to pack")
    for base, folders, files in os.walk(folder / name):
        here = Path(base)
        folders[:] = sorted(one for one in folders if _is_code(one) and (here / one).resolve() not in leave_out)
        for file in sorted(files):
            if not file.startswith((".", "test_")) and not file.endswith(".pyc") and file != "conftest.py":
                yield str((here / file).relative_to(folder)), of_file(here / file)


def _is_code(folder: str) -> bool:
    return not folder.startswith(".") and folder not in ("__pycache__", "tests", "venv", "node_modules")


def _check_imports(modules: Mapping[str, imports.Module], there: Collection[str]) -> None:
    """Refuse code that could not be loaded in the function."""
    missing = {
        library: name
        for name, one in sorted(modules.items(), reverse=True)
        for library in sorted(imports.others(modules, one.first))
        if library not in there
    }
    if missing:
        said = ", ".join(f"{library} (by {name})" for library, name in sorted(missing.items()))
        raise WiringError(
            f"the function would not find what is imported: {said}; name a library in a requirements file"
            " (--requirement), code of yours by --include, and what a layer has by --provided"
        )


# --- triggers ------------------------------------------------------------------------------------


def _of_triggers(named: Iterable[str], there: Collection[str]) -> dict[str, Entry]:
    """Return the files of triggers that can be loaded in a function and that somebody may import there."""
    public = {getattr(triggers, name).__module__ for name in triggers.__all__}
    roots = [ENTRY, *sorted(public), *(name for name in named if name.partition(".")[0] == "triggers")]
    modules = {name: one for name, one in imports.read(_OURS.parent, roots).items() if name.split(".")[0] == "triggers"}
    kept = imports.loadable(modules, lambda library: library in there)
    return {
        str(kept[name].file.relative_to(_OURS.parent)): of_file(kept[name].file)
        for name in sorted(imports.reached(kept, roots))
    }


def _info(place: str, entry: Entry) -> ZipInfo:
    info = ZipInfo(place, _TIME)
    info.compress_type = ZIP_DEFLATED
    info.create_system = 3  # Unix, so that the mode counts
    info.external_attr = (0o100755 if entry.executable else 0o100644) << 16
    return info


def megabytes(size: int) -> str:
    """Return a number of bytes as Lambda's limits are given."""
    return f"{size / 1024 / 1024:.1f} MB"


__all__ = ["DIRECT", "UNPACKED", "Bundle", "Platform", "bundle", "megabytes", "unpack"]
