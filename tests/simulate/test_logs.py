"""Workloads of others."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import pytest

from triggers.simulate import Job, JobError
from triggers.simulate.logs import read_swf

SWF = """; MaxProcs: 8
; Note: an excerpt
1 0 -1 60 4 -1 -1 4 -1 -1 1 7 1 3 -1 -1 -1 -1
2 5 -1 0 4 -1 -1 4 -1 -1 1 7 1 3 -1 -1 -1 -1

3 9 -1 30 -1 -1 -1 2 -1 -1 1 7 1 3 -1 -1 -1 -1
4 9 -1 30 9 -1 -1 9 -1 -1 1 7 1 3 -1 -1 -1 -1
"""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name.removesuffix(".zip"), text)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["log.swf", "log.swf.gz", "log.swf.zip"])
def test_a_standard_log_is_read_whatever_it_is_packed_in(tmp_path: Path, name: str) -> None:
    log = read_swf(written(tmp_path, name, SWF))
    assert log.machine == {"cpu": 8_000_000}
    assert (log.lines, log.idle, log.large) == ([3, 6], 1, 1)
    assert log.jobs == [
        Job(0, "application 3", "user 7", {"cpu": 4_000_000}, 0, 0, 60),
        Job(9, "application 3", "user 7", {"cpu": 2_000_000}, 0, 0, 30),
    ]


def test_a_log_that_does_not_name_its_machine_has_one_for_its_largest_job(tmp_path: Path) -> None:
    assert read_swf(written(tmp_path, "log.swf", SWF.partition("\n")[2])).machine == {"cpu": 9_000_000}


@pytest.mark.parametrize("line", ["1 2 3", "1 0 -1 sixty 4 -1 -1 4 -1 -1 1 7 1 3 -1 -1 -1 -1"])
def test_a_line_that_is_no_job_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(JobError, match=r"log.swf, line 8: .* is no job of the Standard Workload Format, which has 18"):
        read_swf(written(tmp_path, "log.swf", f"{SWF}{line}\n"))


def test_a_size_that_is_no_number_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="line 1: MaxProcs is 'many', not a number"):
        read_swf(written(tmp_path, "log.swf", "; MaxProcs: many\n"))


def test_an_archive_of_several_files_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "log.swf.zip", SWF)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other", "")
    with pytest.raises(JobError, match="holds 2 files"):
        read_swf(path)


def test_a_log_that_unpacks_to_far_more_than_a_log_is_refused_long_before_it_is_in_memory(tmp_path: Path) -> None:
    path = written(tmp_path, "log.swf.gz", ("; " + "a" * 1000 + "\n") * 5000)
    with pytest.raises(JobError, match="unpacks to more than 100 times its size"):
        read_swf(path)


def test_a_log_of_one_endless_line_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="line 1 has more than 4,096 characters; it is no log of jobs"):
        read_swf(written(tmp_path, "log.swf.gz", "1" * 100_000))


@pytest.mark.parametrize("name", ["log.swf.gz", "log.swf.zip"])
def test_an_archive_that_is_cut_or_damaged_is_named(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, SWF)
    whole = path.read_bytes()
    for content in (whole[:-9], whole[:20], whole[:40] + b"\xff\xff" + whole[42:]):
        path.write_bytes(content)
        with pytest.raises(JobError, match=f"{name} cannot be read: .*; fetch it again"):
            read_swf(path)


@pytest.mark.parametrize("field", ["nan", "inf", "-inf"])
def test_a_number_that_is_none_is_no_job(tmp_path: Path, field: str) -> None:
    line = f"1 0 -1 60 {field} -1 -1 4 -1 -1 1 7 1 3 -1 -1 -1 -1\n"
    with pytest.raises(JobError, match=r"line 1: .* is no job"):
        read_swf(written(tmp_path, "log.swf", line))
