"""Workloads of others in the Standard Workload Format; plain, .gz or .zip."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from pathlib import Path

from triggers.holdings import UNIT
from triggers.simulate.workload import Job, JobError

_ARRIVAL, _SECONDS, _USED, _ASKED, _USER, _APPLICATION = 1, 3, 4, 7, 11, 13
_FIELDS = 18


def read_swf(path: Path) -> tuple[list[Job], dict[str, int]]:
    """Return the jobs of a log in the Standard Workload Format, and its machine: as many `cpu` as its head says.

    A job's key is its user, its route the application. Jobs that ran for no time, or on no processor, are left out;
    so are those larger than the machine. `JobError` names the first line that isn't one.
    """
    jobs: list[Job] = []
    processors = 0
    for number, line in enumerate(_lines(path), 1):
        if line.startswith(";"):
            name, _, value = line[1:].partition(":")
            processors = _count(path, number, value) if name.strip() == "MaxProcs" else processors
        elif line.strip():
            jobs += _swf_job(path, number, line)
    processors = processors or max((job.needs["cpu"] for job in jobs), default=0) // UNIT
    return [job for job in jobs if job.needs["cpu"] <= processors * UNIT], {"cpu": processors * UNIT}


def _swf_job(path: Path, number: int, line: str) -> list[Job]:
    try:
        fields = [float(field) for field in line.split()]
    except ValueError:
        fields = []
    if len(fields) != _FIELDS:
        raise JobError(
            f"{path}, line {number}: {line.strip()[:60]!r} is no job of the Standard Workload Format, which has "
            f"{_FIELDS} numbers; correct the line or take it out"
        )
    used = fields[_USED] if fields[_USED] > 0 else fields[_ASKED]
    if fields[_SECONDS] <= 0 or used <= 0:
        return []
    needs = {"cpu": int(used) * UNIT}
    route, user = f"application {fields[_APPLICATION]:g}", f"user {fields[_USER]:g}"
    return [Job(fields[_ARRIVAL], route, user, needs, 0, 0, fields[_SECONDS])]


def _count(path: Path, number: int, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise JobError(f"{path}, line {number}: MaxProcs is {value.strip()!r}, not a number; correct it") from None


def _lines(path: Path) -> Iterator[str]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if not info.is_dir()]
            if len(names) != 1:
                raise JobError(f"{path} holds {len(names)} files; name an archive with the log alone")
            with archive.open(names[0]) as file:
                yield from (line.decode() for line in file)
        return
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
        yield from file
