"""From `MODULE[:APP]` to an app: import the user's module and find the app in it."""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from types import ModuleType

import pydantic

from triggers.app import App
from triggers.binding import from_environment, movable
from triggers.commands.failures import NotFound
from triggers.errors import EventError, TriggersError, WiringError, did_you_mean

_OURS = str(Path(__file__).resolve().parents[1])
_IMPORTLIB = str(Path(importlib.__file__).parent)
_PYDANTIC = str(Path(pydantic.__file__).parent)  # stands between a user's event type and what we say of it

SETTINGS = "triggers.toml"


def load_app(target: str) -> App:
    """Import the module of `MODULE[:APP]` and return its app. MODULE is a module's name, or a path such as app.py.

    Raises `NotFound` where there is no such module or app, `WiringError` where the module does not import.
    """
    place, _, name = target.partition(":")
    if not place:
        raise NotFound(f"{target!r} names no module; write MODULE or MODULE:APP, as in app or app.py:app")
    module = load_module(place)
    apps = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    if name:
        found = getattr(module, name, None)
        if isinstance(found, App):
            return found
        what = "no" if found is None else f"a {type(found).__name__}, not an App, called"
        raise NotFound(f"{place} has {what} {name!r}{did_you_mean(name, apps) or '; it has no App at all'}")
    different = list({id(app): app for app in apps.values()}.values())
    if len(different) == 1:
        return different[0]
    if not apps:
        raise NotFound(f"{place} has no App; make one, app = App('name'), or name the module that has it")
    raise NotFound(f"{place} has several apps; say which: {', '.join(f'{place}:{key}' for key in sorted(apps))}")


def target_of(target: str, app: App) -> str:
    """Return `module:app`, by which another process imports what `load_app(target)` has returned."""
    place, _, name = target.partition(":")
    _, module = _locate(place)
    return f"{module}:{name or next(key for key, value in vars(sys.modules[module]).items() if value is app)}"


def bind(app: App, options: Mapping[str, str]) -> App:
    """Return the app with places and queues where `--bind`, else the environment, else triggers.toml says they are."""
    names = movable(app)
    found = {**_from_file(names), **from_environment(app)}
    for name in options:
        if name not in names:
            raise WiringError(f"--bind {name}=...: app {app.name!r} has no such place{did_you_mean(name, names)}")
    return app.bound({**found, **options})


def check_elsewhere(app: App, binds: Mapping[str, str]) -> None:
    """Refuse an app with an error in its wiring, as `run` does, before it goes to AWS.

    Places are where `binds` says. Raises `WiringError`, a line for each error.
    """
    from triggers.check.graph import check

    with suppress(WiringError):  # what cannot be bound so the template tells, with all else that it cannot take
        app = app.bound(binds)
    if errors := [problem.message for problem in check(app, elsewhere=True) if problem.error]:
        raise WiringError("\n".join(errors))


def _from_file(names: Collection[str]) -> dict[str, str]:
    import tomllib  # only where the file is

    path = Path(SETTINGS)
    if not path.exists():
        return {}
    try:
        table = tomllib.loads(path.read_text()).get("bind", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise WiringError(f"{SETTINGS} cannot be read: {error}") from error
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise WiringError(f'{SETTINGS}: [bind] must hold names and paths, as in incoming = "/data/incoming"')
    for name in table:
        if name not in names:
            raise WiringError(f"{SETTINGS}: [bind] names {name!r}, which the app has not{did_you_mean(name, names)}")
    return table


def load_module(place: str) -> ModuleType:
    """Import a module by its name, or by a path such as app.py. Raises as `load_app` does."""
    folder, module = _locate(place)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            near = {path.stem for path in folder.glob("*.py")} | {
                path.parent.name for path in folder.glob("*/__init__.py")
            }
            hint = did_you_mean(module, near)
            raise NotFound(f"no module {module!r} in {folder} or on Python's path{hint}") from None
        raise _broken(place, error) from error
    except (KeyboardInterrupt, MemoryError):
        raise
    except BaseException as error:  # a module may call sys.exit() when it is imported
        raise _broken(place, error) from error


def _locate(place: str) -> tuple[Path, str]:
    """Return the folder that must be on Python's path, and the module's name."""
    if not (place.endswith(".py") or "/" in place or place.startswith(".")):
        return Path.cwd(), place
    path, what = Path(place).resolve(), f"no file {place}"
    if path.is_dir():
        path, what = path / "__init__.py", f"{place} is a folder and no package; name a module in it"
    if not path.is_file():
        near = did_you_mean(path.name, [entry.name for entry in path.parent.glob("*.py")])
        raise NotFound(f"{what}{near}")
    if path.suffix != ".py":
        raise NotFound(f"{place} is no Python module; name a file such as app.py, or a module as Python imports it")
    parts = [] if path.stem == "__init__" else [path.stem]
    folder = path.parent
    while (folder / "__init__.py").exists():  # a module of a package is imported by its full name
        parts.insert(0, folder.name)
        folder = folder.parent
    return folder, ".".join(parts)


def _broken(place: str, error: BaseException) -> TriggersError:
    """Return the error for a module that does not import, with the frames of the user's own code.

    Of what we refused while it was imported, the line that we refused says enough.
    """
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_users(frame.filename)]
    if isinstance(error, WiringError | EventError) and frames:
        return WiringError(f"{_shown(frames[-1].filename)}:{frames[-1].lineno}: {error}")
    lines = "".join(traceback.format_list(frames)) + "".join(traceback.format_exception_only(error))
    return ModuleBroken(f"{place} does not import:\n{lines.rstrip()}")


class ModuleBroken(WiringError):
    """The user's module raised an error when it was imported. The message has several lines."""


def _shown(filename: str) -> str:
    """Return a file's path as seen from here."""
    path, here = Path(filename), Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _is_users(filename: str) -> bool:
    """Say whether a frame is in a file of the user's: not in what `<...>` stands for, such as a generated method."""
    return not filename.startswith(("<", _OURS, _IMPORTLIB, _PYDANTIC))


def users_first(text: str) -> str:
    """Return a traceback's text without the frames of triggers itself."""
    kept: list[str] = []
    skipping = False
    for line in text.splitlines():
        if line.startswith("  File "):
            skipping = f'"{_OURS}' in line
        elif not line.startswith("    "):
            skipping = False
        if not skipping:
            kept.append(line)
    return "\n".join(kept)
