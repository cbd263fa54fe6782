"""The libraries that go into a zip: wheels for the function's Python and processor, in the versions installed here.

So a function runs what was tested. What the requirements pin is taken as they say; what is neither pinned nor installed
is taken in its newest version.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform as machine
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from triggers.aws.distributions import NotInstalled, closure, normal, split
from triggers.aws.entries import Entry, is_kept, of_file, of_wheel
from triggers.errors import WiringError

OWN: Final = ("pydantic", "tenacity")
"""What triggers itself needs in a function."""
PROVIDED: Final = ("boto3", "botocore", "s3transfer")
"""What Lambda has: packed only where the requirements name it."""

_SELF: Final = "triggers-ml"
_ARCHITECTURES: Final = {"x86_64": "x86_64", "arm64": "aarch64"}
_GLIBC: Final = {"3.11": 26}
"""The minor version of the C library, by the function's Python; 34 for all newer ones."""
_LONG: Final = {"-r": "--requirement", "-c": "--constraint", "-e": "--editable", "-f": "--find-links"}
_OPTION: Final = re.compile(rf"(-[rcef])\s*(.+)|({'|'.join(_LONG.values())})[\s=]+(.+)")
_PINNED: Final = re.compile(r"[=<>~!@]")


@dataclass(frozen=True, slots=True)
class Platform:
    """The Python of a function, as in 3.13, and its processor: x86_64 or arm64."""

    python: str = "3.13"
    architecture: str = "x86_64"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"3\.\d{1,2}", self.python) or int(self.python[2:]) < 11:
            raise WiringError(
                f"{self.python!r} is no Python for triggers in Lambda; write 3.11 or a newer one, as in 3.13"
            )
        if self.architecture not in _ARCHITECTURES:
            raise WiringError(f"{self.architecture!r} is no processor of Lambda's; write {' or '.join(_ARCHITECTURES)}")

    @classmethod
    def here(cls) -> Platform:
        """Return that of the running interpreter."""
        processor = {"aarch64": "arm64"}.get(machine.machine(), machine.machine())
        return cls(f"{sys.version_info.major}.{sys.version_info.minor}", processor)

    def tags(self) -> list[str]:
        """Return the platform tags of wheels that it takes."""
        processor = _ARCHITECTURES[self.architecture]
        newest = _GLIBC.get(self.python, 34)
        return [f"manylinux_2_{minor}_{processor}" for minor in range(newest, 16, -1)] + [f"manylinux2014_{processor}"]


Libraries = Callable[[Sequence[str], Platform], Mapping[str, Entry]]
"""From lines of requirements to the files of the libraries, by their places in the zip."""


def requirements(files: Iterable[Path]) -> list[str]:
    """Return the lines of requirements files, with those that they include by `-r`. Raises `WiringError`.

    A file of constraints (`-c`) is named by its whole path: as for pip, it lies where the file that names it says. So
    is what has wheels (`--find-links`), where it lies there; else pip looks from the current folder.
    triggers itself is left out, since only a part of it goes into a zip.
    """
    return [line for file in files for line in _included(file, ())]


def _included(file: Path, within: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of a file that stands within others, which it must not include again."""
    if (whole := file.resolve()) in within:
        way = " includes ".join(str(one) for one in (*within[within.index(whole) :], whole))
        raise WiringError(f"{way}: requirements files that include each other have no end; take one of the lines out")
    for line in _lines(file):
        option, value = _option(line)
        if option == "--constraint":
            yield line if "://" in value else f"{option}={shlex.quote(str(whole.parent / value))}"
        elif option == "--find-links" and (links := whole.parent / value).exists():
            yield f"{option}={shlex.quote(str(links))}"
        elif option == "--requirement":
            if "://" in value:
                raise WiringError(f"{file}: {_shown(line)!r}: only a file can be included; download it")
            yield from _included(file.parent / value, (*within, whole))
        elif option == "--editable":
            raise WiringError(f"{file}: {_shown(line)!r}: a function has no editable code; name yours with --include")
        elif split(line)[0] != _SELF:
            yield line


def _option(line: str) -> tuple[str, str]:
    """Return the long name of an option of `_LONG`, and what a line gives it; two empty texts for any other line.

    As pip reads them: `-r x`, `-rx`, `--requirement x` or `--requirement=x`, quoted as for a shell.
    """
    if not (match := _OPTION.fullmatch(line)):
        return "", ""
    short, attached, long, apart = match.groups()
    value = attached or apart
    with suppress(ValueError):  # of a quotation mark that stands alone: it is the file's own
        value = " ".join(shlex.split(value))
    return long or _LONG[short], value


def installed(lines: Sequence[str], platform: Platform) -> Mapping[str, Entry]:
    """Return libraries as they are installed in this Python. Raises `WiringError` where it is not the function's."""
    if platform != (here := Platform.here()):
        raise WiringError(
            f"the libraries installed here are for {here.python} on {here.architecture}, not for {platform.python} on"
            f" {platform.architecture}"
        )
    try:
        found = closure(line for line in _all(lines) if not line.startswith("-"))  # options say how to download
    except NotInstalled as error:
        raise WiringError(f"{error.name} is named in the requirements and is not installed here") from None
    kept = [one for one in found if _is_packed(one.name, lines)]
    return {
        str(file): of_file(Path(str(one.locate_file(file))))
        for one in kept
        for file in one.files or ()
        if is_kept(str(file))
    }


def own_packages() -> set[str]:
    """Return the names, in a zip, of what triggers itself needs in a function."""
    return {file.parts[0] for one in closure(OWN) for file in one.files or () if is_kept(str(file))}


def downloaded(lines: Sequence[str], platform: Platform) -> Mapping[str, Entry]:
    """Return libraries as pip finds them, built for the platform. Raises `WiringError` where pip finds none."""
    wheels = sorted(_wheels(_all(lines), platform).glob("*.whl"))
    kept = [wheel for wheel in wheels if _is_packed(wheel.name.split("-")[0], lines)]
    return {place: entry for wheel in kept for place, entry in of_wheel(wheel)}


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise WiringError(f"the requirements {file} cannot be read: {error.strerror}") from error
    joined = re.sub(r"\\\r?\n", " ", text)
    bare = (re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines())
    return [line for line in bare if line]


def _shown(line: str) -> str:
    """Return a line for people to see: without the user and the password of an address, as pip shows it."""
    return re.sub(r"(?<=://)[^/\s]+(?=@)", "****", line)


def _all(lines: Sequence[str]) -> list[str]:
    """Return the requirements with those of triggers that they do not name."""
    named = {split(line)[0] for line in lines}
    return [*(one for one in OWN if one not in named), *lines]


def _is_packed(name: str, lines: Sequence[str]) -> bool:
    return normal(name) not in PROVIDED or normal(name) in {split(line)[0] for line in lines}


# --- wheels --------------------------------------------------------------------------------------


def _wheels(lines: Sequence[str], platform: Platform) -> Path:
    """Return a folder with the wheels, which is filled once for the same requirements, versions and platform."""
    bounds = list(_constraints(lines))
    pins = _pins([*lines, *bounds])
    files = [_digest(line) for line in lines]
    told = json.dumps([lines, files, bounds, pins, platform.python, platform.architecture])
    folder = _cache() / hashlib.sha256(told.encode()).hexdigest()[:24]
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="new-") as new:
            _download(lines, pins, platform, Path(new))
            with suppress(OSError):  # another process was first
                Path(new, "wheels").rename(folder)
            if not folder.is_dir():
                raise WiringError(f"the wheels cannot be kept in {folder}; set XDG_CACHE_HOME to a folder of yours")
    except OSError as error:
        raise WiringError(f"{folder.parent} cannot be written to: {error.strerror}; set XDG_CACHE_HOME") from error
    return folder


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triggers" / "wheels"


def _constraints(lines: Iterable[str], within: Sequence[Path] = ()) -> Iterator[str]:
    """Yield the lines of the files of constraints that lines name, and of those that these name."""
    for line in lines:
        option, value = _option(line)
        if option == "--constraint" and "://" not in value:
            file = Path(value).resolve()
            bounds = list(_included(file, within))
            yield from bounds
            yield from _constraints(bounds, (*within, file))


def _digest(line: str) -> str | None:
    """Return what names the content of a requirement that is a file, or of a folder of wheels; None for any other."""
    option, value = _option(line)
    if option == "--find-links" and Path(value).is_dir():
        files = [one for one in sorted(Path(value).iterdir()) if one.is_file()]
        wheels = [(one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in files]
        return hashlib.sha256(json.dumps(wheels).encode()).hexdigest()
    file = Path(line.partition(";")[0].strip())
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else None


def _pins(lines: Sequence[str]) -> list[str]:
    """Return the versions that are installed here, but of what the requirements pin, and of no public version."""
    pinned = {split(line)[0] for line in lines if _PINNED.search(line.partition(";")[0])}
    versions = {normal(one.name): one.version for one in distributions() if not one.read_text("direct_url.json")}
    return [
        f"{name}=={version}" for name, version in sorted(versions.items()) if not (name in pinned or "+" in version)
    ]


def _download(lines: Sequence[str], pins: Sequence[str], platform: Platform, folder: Path) -> None:
    if find_spec("pip") is None:
        raise WiringError(f"wheels are fetched by pip, which {sys.executable} has not; install it: python -m ensurepip")
    (folder / "requirements.txt").write_text("\n".join(lines))
    (folder / "constraints.txt").write_text("\n".join(pins))
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input"),
        *("--only-binary", ":all:", "--implementation", "cp", "--python-version", platform.python),
        *(part for tag in platform.tags() for part in ("--platform", tag)),
        *("--dest", str(folder / "wheels")),
        *("--requirement", str(folder / "requirements.txt"), "--constraint", str(folder / "constraints.txt")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if re.match("ERROR: (?!Ignored)", line)] or [
            done.stderr.strip()
        ]
        named = [_shown(line) for line in lines if not line.startswith("-")]
        raise WiringError(
            f"pip finds no wheels of {', '.join(named)} for Python {platform.python} on {platform.architecture}: "
            + " ".join(_shown(line.removeprefix("ERROR: ")) for line in errors)
            + " (what has no wheel can be built with `pip wheel` and named by its path in a requirements file)"
        )


__all__ = ["Libraries", "Platform", "downloaded", "installed", "own_packages", "requirements"]
