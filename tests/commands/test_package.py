"""`triggers package`."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import pytest

from tests.commands.conftest import Project
from triggers.aws.libraries import Platform

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


pytestmark = pytest.mark.usefixtures("wheels")


def test_an_app_is_packed_without_the_folders_of_its_data(project: Project, pinned: str) -> None:
    project.drop("a.csv")
    answer = project("package", "app", "--requirement", pinned, "-o", "churn.zip")
    assert answer.code == 0, answer.err
    assert answer.err.startswith("wrote churn.zip: ")
    with zipfile.ZipFile(project.home / "churn.zip") as packed:
        names = packed.namelist()
    assert {"app.py", "triggers/aws/serverless.py", "pydantic/__init__.py"} <= set(names)
    assert not [name for name in names if "csv" in name or "commands" in name]


def test_the_zip_is_described_as_json(project: Project, pinned: str) -> None:
    answer = project("package", "app.py:app", "--requirement", pinned, "-o", "churn.zip", "--json")
    assert answer.data["file"] == "churn.zip"
    assert answer.data["zipped"] == (project.home / "churn.zip").stat().st_size < answer.data["unpacked"]


def test_libraries_that_no_index_has_are_an_error(project: Project) -> None:
    answer = project("package", "app", "-o", "churn.zip")
    assert answer.code == 4
    assert "pip finds no wheels of pydantic, tenacity for Python 3.13 on x86_64" in answer.err


def test_a_folder_that_is_missing_is_an_error(project: Project, pinned: str) -> None:
    answer = project("package", "app", "--requirement", pinned, "-o", "nowhere/churn.zip")
    assert answer.code == 4
    assert "nowhere/churn.zip cannot be written: No such file or directory" in answer.err


def test_code_that_the_function_would_not_find_is_an_error(project: Project, pinned: str) -> None:
    app = Path("app.py").read_text()
    project.write("app.py", f"import psutil\n{app}")
    answer = project("package", "app.py", "--requirement", pinned, "-o", "churn.zip")
    assert answer.code == 4
    assert "psutil (by app)" in answer.err
    assert project("package", "app.py", "--requirement", pinned, "-o", "a.zip", "--provided", "psutil").code == 0


def test_the_platform_is_the_templates(project: Project) -> None:
    assert Platform() == Platform("3.13", "x86_64")
