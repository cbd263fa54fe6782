"""Workloads of others in the Standard Workload Format; plain, .gz or .zip.

Such a file comes from somewhere: what it unpacks to is bounded by its size, and whatever it holds is a job or named.
"""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import IO, NamedTuple

from triggers.scheduling.holdings import UNIT
from triggers.simulate.workload import Job, JobError

LONGEST_LINE = 4096
"""Bytes of a line at most; a job's 18 numbers take a few dozen."""
RATIO = 100
"""How many times its size a log may unpack to: text of numbers does to five to fifteen times."""
SPARE = 1024 * 1024
"""Bytes that it may unpack to in any case."""

_ARRIVAL, _SECONDS, _USED, _ASKED, _USER, _APPLICATION = 1, 3, 4, 7, 11, 13
_FIELDS = 18


class Log(NamedTuple):
    """What a log tells of."""

    jobs: list[Job]
    lines: list[int]
    """Where each of them stands."""
    begin: float
    """When it began, in Unix seconds, as its head says; 0 where that is not known."""
    machine: dict[str, int]
    """As many `cpu` as its head says."""
    idle: int
    """How many jobs were left out that ran for no time, or on no processor."""
    large: int
    """How many that are larger than the machine."""


def read_swf(path: Path) -> Log:
    """Return the jobs of a log in the Standard Workload Format, and its machine. A job's key is its user, its route the
    application. `JobError` names the first line that isn't one.
    """
    found: list[tuple[int, Job]] = []
    processors = begin = idle = 0
    for number, line in enumerate(_lines(path), 1):
        if line.startswith(";"):
            name, _, value = line[1:].partition(":")
            if name.strip() == "MaxProcs":
                processors = _count(path, number, "MaxProcs", value)
            elif name.strip() == "UnixStartTime":
                begin = _count(path, number, "UnixStartTime", value)
        elif line.strip():
            job = _swf_job(path, number, line)
            idle += job is None
            found += [] if job is None else [(number, job)]
    if processors < 1:  # the format's word for what is not known is -1
        processors = max((job.needs["cpu"] for _, job in found), default=0) // UNIT
    fit = [(number, job) for number, job in found if job.needs["cpu"] <= processors * UNIT]
    jobs, lines = [job for _, job in fit], [number for number, _ in fit]
    return Log(jobs, lines, max(begin, 0), {"cpu": processors * UNIT}, idle, len(found) - len(fit))


def _swf_job(path: Path, number: int, line: str) -> Job | None:
    """Return the job of a line; None of one that has done nothing."""
    try:
        fields = [float(field) for field in line.split()]
    except ValueError:
        fields = []
    if len(fields) != _FIELDS or not all(map(isfinite, fields)):
        raise JobError(
            f"{path}, line {number}: {line.strip()[:60]!r} is no job of the Standard Workload Format, which has "
            f"{_FIELDS} numbers; correct the line or take it out"
        )
    used = int(fields[_USED] if fields[_USED] > 0 else fields[_ASKED])
    if fields[_SECONDS] <= 0 or used <= 0:
        return None
    route, user = f"application {fields[_APPLICATION]:g}", f"user {fields[_USER]:g}"
    return Job(fields[_ARRIVAL], route, user, {"cpu": used * UNIT}, 0, 0, fields[_SECONDS])


def _count(path: Path, number: int, name: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        shown = value.strip()[:60]
        raise JobError(f"{path}, line {number}: {name} is {shown!r}, not a number; correct it") from None


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a log. Raises `JobError` where it cannot be read, or unpacks to far more than a log does."""
    number, left = 0, SPARE + RATIO * path.stat().st_size
    with _readable(path), _opened(path) as file:
        while line := file.readline(LONGEST_LINE + 1):
            number, left = number + 1, left - len(line)
            if len(line) > LONGEST_LINE:
                raise JobError(f"{path}, line {number} has more than {LONGEST_LINE:,} characters; it is no log of jobs")
            if left < 0:
                raise JobError(f"{path} unpacks to more than {RATIO} times its size; unpack it yourself if it is right")
            yield line.decode("utf-8", "replace")


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except JobError:
        raise
    except (
        Exception
    ) as error:  # what the libraries raise for archives that are cut, damaged, encrypted, or packed oddly
        raise JobError(f"{path} cannot be read: {error or type(error).__name__}; fetch it again") from error


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    if path.suffix != ".zip":
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        if len(names) != 1:
            raise JobError(f"{path} holds {len(names)} files; name an archive with the log alone")
        with archive.open(names[0]) as file:
            yield file
