"""What goes into the zip of an app, and the zip itself under AWS's own runtime client."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import boto3
import pytest

import triggers
from triggers.aws import imports, names
from triggers.aws.bundle import Bundle, Platform, bundle, unpack
from triggers.aws.entries import Entry, of_wheel
from triggers.aws.libraries import OWN, downloaded, installed, requirements
from triggers.aws.runtime import Function, Result, Settings
from triggers.aws.server import environment
from triggers.errors import WiringError

HERE = Platform.here()
APP = """
from triggers import App, Event

class Processed(Event):
    n: int

class Trained(Event):
    n: int

app = App({name!r})

@app.on(Processed)
def train(event: Processed) -> Trained:
    return Trained(n=event.n + 1)
"""

Pack = Callable[..., Bundle]
Project = Callable[..., str]


@pytest.fixture
def project(tmp_path: Path, unique: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return what writes files into a folder on Python's path, `M` in their names and texts being a fresh module."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(files: Mapping[str, str]) -> str:
        for place, text in files.items():
            path = tmp_path / place.replace("M", unique)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("M", unique))
        importlib.invalidate_caches()
        return unique

    yield write
    for name in [name for name in sys.modules if name.split(".")[0] == unique]:
        del sys.modules[name]


EMPTY = Entry(0, bytes)


def few(_: Any, __: Any) -> Mapping[str, Entry]:
    """Return libraries that are there by name alone."""
    return {f"{name}/__init__.py": EMPTY for name in ("pydantic", "pydantic_core", "tenacity")}


def places(made: Bundle, first: str) -> set[str]:
    return {place for place in made.entries if place.startswith(first) and not place.endswith(".pyc")}


# --- code


def test_a_module_is_packed_with_the_files_beside_it_that_it_imports(project: Project) -> None:
    name = project(
        {
            "M.py": "import M_steps\ndef later():\n    from M_late import x\n",
            "M_steps.py": "from M_more.deep import y",
            "M_more/__init__.py": "",
            "M_more/deep.py": "y = 1",
            "M_more/schema.json": "{}",
            "M_late.py": "x = 1",
            "M_unused.py": "",
            "M_data.csv": "",
        }
    )
    assert places(bundle(f"{name}:app", HERE, libraries=few), name) == {
        *(f"{name}.py", f"{name}_steps.py", f"{name}_late.py"),
        *(f"{name}_more/__init__.py", f"{name}_more/deep.py", f"{name}_more/schema.json"),
    }


def test_a_package_is_packed_whole_without_its_tests_data_and_what_is_hidden(project: Project, tmp_path: Path) -> None:
    kept = ["M/__init__.py", "M/app.py", "M/steps/train.py", "M/steps/sql/query.sql"]
    left = [
        "M/tests/kit.py",
        "M/venv/x.py",
        "M/test_x.py",
        "M/conftest.py",
        "M/.env",
        "M/.venv/x.py",
        "M/__pycache__/a.pyc",
    ]
    name = project(dict.fromkeys([*kept, *left, "M/incoming/a.csv", "other.py"], ""))
    made = bundle(f"{name}.app:app", HERE, leave_out=[tmp_path / name / "incoming"], libraries=few)
    assert places(made, name) == {place.replace("M", name) for place in kept}


def test_code_from_elsewhere_is_packed_where_it_is_named(project: Project, tmp_path: Path) -> None:
    name = project({"M.py": "import common, single", "lib/common/__init__.py": "", "lib/single.py": ""})
    include = [tmp_path / "lib" / "common", tmp_path / "lib" / "single.py"]
    made = bundle(f"{name}:app", HERE, include=include, libraries=few)
    assert {"common/__init__.py", "single.py"} <= made.entries.keys()


def test_what_the_function_would_not_find_is_named_with_who_imports_it(project: Project) -> None:
    name = project({"M.py": "import M_steps", "M_steps.py": "import numpy, json, boto3\nfrom skops import io"})
    with pytest.raises(WiringError, match=rf"numpy \(by {name}_steps\), skops \(by {name}_steps\); .*--requirement"):
        bundle(f"{name}:app", HERE, libraries=few)
    assert bundle(f"{name}:app", HERE, provided=["numpy", "skops"], libraries=few)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import numpy\nexcept ImportError:\n    numpy = None\n",
        "def report():\n    import numpy\n",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy\n",
        "def report():\n    import M_late\n",
    ],
)
def test_what_is_not_needed_at_the_start_may_be_missing(project: Project, text: str) -> None:
    name = project({"M.py": text, "M_late.py": "import numpy"})
    assert bundle(f"{name}:app", HERE, libraries=few)


def test_a_module_that_is_not_found_is_named() -> None:
    with pytest.raises(WiringError, match=r"no module 'nowhere\.app' is found"):
        bundle("nowhere.app:app", HERE, libraries=few)


def test_a_module_that_is_called_as_a_library_is_refused(project: Project) -> None:
    name = project({"M.py": "import tenacity", "tenacity/__init__.py": ""})
    with pytest.raises(WiringError, match=r"tenacity/__init__.py is both yours and a library's"):
        bundle(f"{name}:app", HERE, libraries=few)


def test_relative_imports_are_followed(project: Project, tmp_path: Path) -> None:
    name = project(
        {"M/__init__.py": "", "M/a/__init__.py": "from . import b", "M/a/b.py": "from ..c import d", "M/c.py": ""}
    )
    assert imports.read(tmp_path, [f"{name}.a"]).keys() == {name, f"{name}.a", f"{name}.a.b", f"{name}.c"}


# --- triggers


def test_of_triggers_comes_what_the_entry_and_the_public_names_import_and_can_be_loaded(project: Project) -> None:
    made = bundle(f"{project({'M.py': ''})}:app", HERE, libraries=few)
    ours = places(made, "triggers/")
    assert {"triggers/__init__.py", "triggers/aws/serverless.py", "triggers/aws/coroutines.py"} <= ours
    assert {"triggers/patterns/walk.py", "triggers/schedule/crontab.py", "triggers/sources/folder.py"} <= ours
    for left in ("commands", "journal", "executor", "aws/template", "skeleton"):
        assert not places(made, f"triggers/{left}/")
    for left in (
        "engine",
        "dispatcher",
        "testing",
        "sources/watch",
        "sources/folder_scan",
        "aws/mapping",
        "aws/bundle",
    ):
        assert f"triggers/{left}.py" not in ours


def test_nothing_that_is_packed_of_triggers_needs_a_library_that_is_not(project: Project) -> None:
    made = bundle(f"{project({'M.py': ''})}:app", HERE, libraries=few)
    packed = {
        place.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for place in places(made, "triggers/")
    }
    modules = {name: one for name, one in imports.read(root(), packed).items() if name in packed}
    assert modules.keys() == packed
    assert {library for one in modules.values() for library in imports.others(modules, one.first)} <= {
        *("pydantic", "pydantic_core", "tenacity", "boto3", "botocore"),
    }


def root() -> Path:
    return Path(triggers.__file__).parent.parent


def test_a_module_of_triggers_that_the_app_imports_is_packed(project: Project) -> None:
    made = bundle(f"{project({'M.py': 'from triggers import layers'})}:app", HERE, libraries=few)
    assert "triggers/layers.py" in made.entries


# --- libraries


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return what makes a wheel, where nothing but such wheels is found."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(name: str, number: str | None = None, tag: str = "py3-none-any", needs: str = "") -> Path:
        number = number or version(name)
        info = f"{name}-{number}.dist-info"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n"
        metadata += f"Requires-Dist: {needs}\n" if needs else ""
        path = folder / f"{name}-{number}-{tag}.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"{name}/__init__.py", f"tag = {tag!r}\n")
            wheel.writestr(f"{name}-{number}.data/platlib/{name}/extra.so", "binary")
            wheel.writestr(f"{name}-{number}.data/scripts/{name}", "a script")
            wheel.writestr(f"{info}/METADATA", metadata)
            wheel.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n")
            wheel.writestr(f"{info}/RECORD", "")
        return path

    for name in OWN:
        make(name)
    return make


def test_wheels_are_those_of_the_functions_python_and_processor(index: Callable[..., Path]) -> None:
    for tag in (
        "cp313-cp313-manylinux_2_17_aarch64",
        "cp313-cp313-manylinux_2_17_x86_64",
        "cp312-cp312-manylinux_2_17_aarch64",
    ):
        index("fast", "1.0", tag)
    found = downloaded(["fast"], Platform("3.13", "arm64"))
    assert found["fast/__init__.py"].read() == b"tag = 'cp313-cp313-manylinux_2_17_aarch64'\n"
    assert found["fast/extra.so"].read() == b"binary"
    assert "fast-1.0.dist-info/METADATA" in found
    assert not [place for place in found if "RECORD" in place or "scripts" in place]


def test_a_wheel_for_a_newer_c_library_than_the_functions_is_not_taken(index: Callable[..., Path]) -> None:
    index("fast", "1.0", "py3-none-manylinux_2_34_x86_64")
    assert "fast/__init__.py" in downloaded(["fast"], Platform("3.13"))
    with pytest.raises(WiringError, match=r"pip finds no wheels of .*fast for Python 3\.11 on x86_64: .*pip wheel"):
        downloaded(["fast"], Platform("3.11"))


def test_libraries_come_in_the_versions_that_are_installed_here(index: Callable[..., Path]) -> None:
    index("rich", "0.1")
    index("rich")
    index("rich", "9999.0")
    assert f"rich-{version('rich')}.dist-info/METADATA" in downloaded(["rich"], HERE)
    assert "rich-0.1.dist-info/METADATA" in downloaded(["rich==0.1"], HERE)


def test_what_lambda_has_is_packed_only_where_it_is_named(index: Callable[..., Path]) -> None:
    index("boto3")
    index("reader", "1.0", needs="boto3")
    assert "boto3/__init__.py" not in downloaded(["reader"], HERE)
    assert "boto3/__init__.py" in downloaded(["reader", "boto3"], HERE)


def test_wheels_are_fetched_once(index: Callable[..., Path]) -> None:
    wheel = index("once", "1.0")
    assert "once/__init__.py" in downloaded(["once"], HERE)
    wheel.unlink()
    assert "once/__init__.py" in downloaded(["once"], HERE)


def test_a_wheel_that_is_named_by_its_path_is_taken_anew_when_it_changes(index: Callable[..., Path]) -> None:
    wheel = index("mine", "1.0")
    assert "mine/__init__.py" in downloaded([str(wheel)], HERE)
    with zipfile.ZipFile(wheel, "a") as more:
        more.writestr("mine/more.py", "")
    assert "mine/more.py" in downloaded([str(wheel)], HERE)


def test_installed_libraries_come_with_what_they_need_and_no_traces_of_the_installation() -> None:
    found = installed(["moto[s3]"], HERE)
    top = {place.partition("/")[0] for place in found}
    assert {
        "pydantic",
        "pydantic_core",
        "tenacity",
        "typing_extensions.py",
        "moto",
        "requests",
        "py_partiql_parser",
    } <= top
    assert not top & {"boto3", "botocore", "apsw", "watchdog", "click", "rich", "triggers", "..", "bin"}
    assert not [place for place in found if place.endswith(("/RECORD", "/INSTALLER", ".pyc")) or "/sboms/" in place]


def test_options_for_a_download_say_nothing_of_what_is_installed() -> None:
    assert set(installed(["--index-url https://host/simple", "tenacity"], HERE)) == set(installed(["tenacity"], HERE))


def test_installed_libraries_are_for_this_python_alone() -> None:
    with pytest.raises(WiringError, match=r"installed here are for .*, not for 3\.\d+ on arm64"):
        installed([], Platform("3.14", "arm64"))
    with pytest.raises(WiringError, match="nowhere is named in the requirements and is not installed here"):
        installed(["nowhere>=1"], HERE)


def test_requirements_are_read_with_those_that_they_include(tmp_path: Path) -> None:
    (tmp_path / "base.txt").write_text("numpy==2.0  # for all\n\n# a remark\n")
    (tmp_path / "all.txt").write_text("-r base.txt\ntriggers_ml[aws]>=0.1\npandas>=2, \\\n  <3\n--pre\n")
    assert requirements([tmp_path / "all.txt"]) == ["numpy==2.0", "pandas>=2,    <3", "--pre"]


@pytest.mark.parametrize(
    "line",
    ["-r base file.txt", "-rbase\\ file.txt", "--requirement 'base file.txt'", '--requirement="base file.txt"'],
    ids=["short", "attached", "long", "equals"],
)
def test_a_requirements_file_is_included_however_pip_lets_it_be_named(line: str, tmp_path: Path) -> None:
    (tmp_path / "base file.txt").write_text("numpy==2.0\n")
    (tmp_path / "all.txt").write_text(f"{line}\n--requires-nothing\n")
    assert requirements([tmp_path / "all.txt"]) == ["numpy==2.0", "--requires-nothing"]


def test_constraints_count_more_than_what_is_installed_and_lie_where_the_file_that_names_them_says(
    index: Callable[..., Path], tmp_path: Path
) -> None:
    index("rich", "0.1")
    index("rich")
    for name, lines in (("all", "-c 'the bounds.txt'\nrich"), ("the bounds", "-c more.txt"), ("more", "rich==0.1")):
        (tmp_path / f"{name}.txt").write_text(lines)
    assert "rich-0.1.dist-info/METADATA" in downloaded(requirements([tmp_path / "all.txt"]), HERE)
    (tmp_path / "more.txt").write_text("rich>0.1")
    assert f"rich-{version('rich')}.dist-info/METADATA" in downloaded(requirements([tmp_path / "all.txt"]), HERE)
    (tmp_path / "more.txt").write_text("-c all.txt")
    with pytest.raises(WiringError, match=r"requirements files that include each other have no end"):
        downloaded(requirements([tmp_path / "all.txt"]), HERE)


def test_a_folder_of_wheels_lies_as_for_pip_where_the_file_that_names_it_says(
    index: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index("rich")
    (tmp_path / "index").rename(tmp_path / "my wheels")
    monkeypatch.delenv("PIP_FIND_LINKS")
    file = tmp_path / "all.txt"
    for line in ("-f'my wheels'", "--find-links=my\\ wheels", "--find-links 'my wheels'"):
        file.write_text(f"{line}\nrich")
        assert requirements([file]) == [f"--find-links='{tmp_path}/my wheels'", "rich"]
    assert f"rich-{version('rich')}.dist-info/METADATA" in downloaded(requirements([file]), HERE)
    file.write_text("-f elsewhere")
    assert requirements([file]) == ["-f elsewhere"], "which pip looks for from the current folder"


def test_requirements_that_include_each_other_are_refused_and_those_that_share_one_are_not(tmp_path: Path) -> None:
    for name, included in (("all", "a b"), ("a", "base"), ("b", "base"), ("base", "")):
        text = "".join(f"--requirement={one}.txt\n" for one in included.split())
        (tmp_path / f"{name}.txt").write_text(f"{text}{name}-library\n")
    assert requirements([tmp_path / "all.txt"]) == [f"{n}-library" for n in ("base", "a", "base", "b", "all")]
    (tmp_path / "base.txt").write_text("-r a.txt\n")
    with pytest.raises(WiringError, match=r"/a\.txt includes .*/base\.txt includes .*/a\.txt: .* take one"):
        requirements([tmp_path / "all.txt"])


def test_requirements_that_cannot_be_packed_are_refused(tmp_path: Path) -> None:
    for line in ("-e .", "--editable=."):
        (tmp_path / "r.txt").write_text(f"{line}\n")
        with pytest.raises(WiringError, match=rf"r\.txt: '{line}': .*--include"):
            requirements([tmp_path / "r.txt"])
    (tmp_path / "r.txt").write_text("-r https://me:secret@host/all.txt\n")
    with pytest.raises(WiringError, match=r"'-r https://\*\*\*\*@host/all\.txt': only a file can be included"):
        requirements([tmp_path / "r.txt"])
    with pytest.raises(WiringError, match=r"missing\.txt cannot be read: No such file"):
        requirements([tmp_path / "missing.txt"])


@pytest.mark.parametrize(
    ("python", "processor", "reason"),
    [("3.10", "arm64", "no Python"), ("4", "arm64", "no Python"), ("3.13", "i386", "no processor")],
)
def test_what_is_no_platform_of_lambdas_is_refused(python: str, processor: str, reason: str) -> None:
    with pytest.raises(WiringError, match=reason):
        Platform(python, processor)


# --- the zip


def test_the_same_files_make_the_same_bytes_whenever_they_were_written(project: Project, tmp_path: Path) -> None:
    name = project({"M.py": APP.format(name="a"), "M_b.py": ""})
    first = bundle(f"{name}:app", HERE, libraries=installed).write(tmp_path / "1.zip")
    os.utime(tmp_path / f"{name}.py", (1, 1))
    os.chmod(tmp_path / f"{name}.py", 0o600)
    assert bundle(f"{name}:app", HERE, libraries=installed).write(tmp_path / "2.zip") == first
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()


def test_files_keep_no_times_and_only_one_of_two_modes(tmp_path: Path) -> None:
    entries = {"b/tool": Entry(1, lambda: b"x", executable=True), "a.py": EMPTY}
    Bundle(entries).write(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as packed:
        infos = packed.infolist()
    assert [info.filename for info in infos] == ["a.py", "b/tool"]
    assert [oct(info.external_attr >> 16) for info in infos] == ["0o100644", "0o100755"]
    assert {info.date_time for info in infos} == {(1980, 1, 1, 0, 0, 0)}
    unpack(tmp_path / "a.zip", tmp_path / "task")
    assert os.access(tmp_path / "task" / "b" / "tool", os.X_OK)


def test_an_app_without_libraries_has_twelve_megabytes_at_most(project: Project) -> None:
    made = bundle(f"{project({'M.py': APP.format(name='a')})}:app", HERE, libraries=installed)
    assert made.size <= 12_000_000


def test_what_every_cold_start_loads_is_compiled(project: Project) -> None:
    made = bundle(f"{project({'M.py': ''})}:app", HERE, libraries=installed)
    tag = sys.implementation.cache_tag
    assert {f"triggers/__pycache__/app.{tag}.pyc", f"pydantic/__pycache__/main.{tag}.pyc"} <= made.entries.keys()


def test_nothing_is_compiled_for_a_python_that_is_not_here(project: Project) -> None:
    made = bundle(f"{project({'M.py': ''})}:app", Platform("3.99"), libraries=few)
    assert not [place for place in made.entries if place.endswith(".pyc")]


def test_a_package_over_the_limit_is_refused_with_its_largest_parts(tmp_path: Path) -> None:
    mb = 1024 * 1024
    entries = {f"p{n}/x": Entry(n * 10 * mb, lambda: b"") for n in range(8)}
    made = Bundle({**entries, "p1/y": Entry(1, lambda: b"")})
    with pytest.raises(
        WiringError, match=r"280\.0 MB unpacked, and Lambda takes 250\.0 MB; .* p7 \(70\.0 MB\), p6"
    ) as error:
        made.write(tmp_path / "a.zip")
    assert "deploy an image (infra/Dockerfile), or have the routes that need the large parts run as Batch jobs" in str(
        error.value
    )
    assert list(tmp_path.iterdir()) == []


def test_a_zip_that_cannot_be_finished_leaves_nothing_behind(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        Bundle({"a": Entry(1, fail)}).write(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []


# --- under AWS's own client


def test_the_zip_runs_an_app_from_an_event_to_the_bus(
    project: Project, endpoint: str, unique: str, tmp_path: Path
) -> None:
    name = project({"M.py": APP.format(name=unique)})
    bundle(f"{name}:app", HERE, libraries=installed).write(tmp_path / "a.zip")
    unpack(tmp_path / "a.zip", tmp_path / "task")
    table(names.table(unique))
    boto3.client("events").create_event_bus(Name=names.bus(unique))
    event = {"specversion": "1.0", "id": "1", "source": "me", "type": "Processed", "data": {"n": 1}}

    async def main() -> list[Result]:
        variables = {**environment(endpoint), "TRIGGERS_APP": f"{name}:app"}
        settings = Settings("triggers.aws.serverless.handler", variables, timeout=60)
        async with Function(tmp_path / "task", settings) as function:
            return [await function.invoke(event), await function.invoke(event)]

    for result in asyncio.run(main()):
        assert result.error is None, result
        [run] = result.payload["runs"]
        assert (run["route"], run["state"]) == ("train", "done")


def table(name: str) -> None:
    keys = {"run": "S", "part": "S"}
    boto3.client("dynamodb").create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": kind} for key, kind in keys.items()],
        KeySchema=[{"AttributeName": key, "KeyType": kind} for key, kind in zip(keys, ("HASH", "RANGE"), strict=True)],
        BillingMode="PAY_PER_REQUEST",
    )


@pytest.mark.parametrize("place", ["/abs/x.py", "a/../../x.py", "../x.py", "mine-1.0.data/purelib/../../x.py"])
def test_a_wheel_with_a_file_outside_of_where_it_is_installed_is_refused(
    index: Callable[..., Path], place: str
) -> None:
    wheel = index("mine", "1.0")
    with zipfile.ZipFile(wheel, "a") as more:
        more.writestr(place, "")
    with pytest.raises(WiringError, match=r"the wheel mine-1\.0-py3-none-any\.whl has a file .*x\.py', which"):
        downloaded(["mine"], HERE)


def test_the_password_of_an_index_is_told_to_nobody(index: Callable[..., Path]) -> None:
    lines = ["--index-url https://user:to@ken@index.acme/simple", "none @ https://user:to@ken@127.0.0.1:1/none.whl"]
    with pytest.raises(
        WiringError, match=r"pip finds no wheels of .*none @ https://\*\*\*\*@127\.0\.0\.1:1/n"
    ) as refused:
        downloaded(lines, HERE)
    assert "ken@" not in str(refused.value)


def test_a_wheel_installs_what_its_data_folder_holds_for_packages_alone(index: Callable[..., Path]) -> None:
    assert {place for place, _ in of_wheel(index("mine", "1.0"))} == {
        *("mine/__init__.py", "mine/extra.so", "mine-1.0.dist-info/METADATA", "mine-1.0.dist-info/WHEEL"),
    }
