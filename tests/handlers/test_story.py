"""The story as `make demo` tells it: one real process, which starts the engine as a person would."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from handlers import story
from handlers.account import Places
from handlers.runner import Engine, EngineFailed

ROOT = Path(__file__).parents[2]


def start(folder: Path, *words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "handlers", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> tuple[Path, str]:
    """A folder in which the demo has run, and what it printed."""
    folder = tmp_path_factory.mktemp("told")
    with start(folder, "demo") as process:
        out, said = process.communicate()
    assert (process.returncode, said) == (0, "")
    return folder, out


def test_the_demo_tells_of_the_first_model_the_decline_the_rejections_and_the_drift(told):
    lines = [" ".join(line.split()) for line in told[1].splitlines()]
    for expected in (
        "stored 180 samples, 180 in all",
        "trained e9c44c01397a on 132 samples (48 held out): the first 180 samples",
        "deployed e9c44c01397a, before: none",
        "declined AUC 0.9966 against 0.9986: -0.0020 is less than the margin of 0.005",
        "champion e9c44c01397a stays",
        "approved AUC 0.9990 against 0.9786: +0.0205",
        "deployed 88e4418d1aea, before: e9c44c01397a",
    ):
        assert expected in lines
    assert "bad-value.csv, row 17: mean_area is -1092, outside 0 to 20000" in told[1]
    assert "bad-columns.csv lacks 1 of 33 columns: mean_area" in told[1]
    assert "yes: PSI mean_radius 1.74" in told[1]
    assert "no alarm: PSI at most 0.44" in told[1]


def test_a_story_that_was_told_is_not_told_again_and_drops_nothing_twice(told):
    folder, _ = told
    files = sorted(path.stat().st_mtime_ns for path in (folder / "demo" / "incoming").iterdir())
    with start(folder, "demo") as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert "The story was told before" in out
    assert "8 in demo/incoming" in out
    assert "dropped" not in out
    assert sorted(path.stat().st_mtime_ns for path in (folder / "demo" / "incoming").iterdir()) == files


def test_after_the_story_run_watches_until_it_is_interrupted(told):
    with start(told[0], "run") as process:
        assert process.stderr
        said = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, more = process.communicate()
    assert "screening runs with 11 routes" in said
    assert "Watching demo/incoming; Ctrl-C ends it" in out
    assert "Traceback" not in more
    assert process.returncode == 130


def test_ctrl_c_in_the_middle_ends_without_a_traceback_and_leaves_what_was_done(tmp_path):
    with start(tmp_path, "demo") as process:
        assert process.stdout
        for line in process.stdout:
            if "dropped" in line:
                break
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert (process.returncode, said) == (130, "\nstopped; the same command goes on from here\n")
    assert len(list((tmp_path / "demo" / "incoming").iterdir())) == 3


def test_a_stage_is_told_once_its_outcome_can_be_seen(tmp_path, lab):
    first, *others = story.stages()
    places = Places(lab.home)
    assert not first.told(places)
    lab.deploy_first()
    assert first.told(places)
    assert not any(stage.told(places) for stage in others)


def test_other_data_in_the_places_is_said_and_ends_the_story(told, tmp_path, monkeypatch, capsys):
    """The files lie there, and the journal knows them, but what came of them is gone."""
    shutil.copytree(told[0], tmp_path, dirs_exist_ok=True, copy_function=os.link)
    monkeypatch.chdir(tmp_path)
    home = Path("demo")
    shutil.rmtree(home / "reports" / "evaluations")
    assert story.tell(Engine(home)) is False
    assert "This is not how the story goes" in capsys.readouterr().out


def test_what_the_engine_refuses_is_said_in_its_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    engine = Engine(Path("elsewhere"))
    assert engine.ask("dead", "list") == []
    (engine.state.parent / "incoming").mkdir(parents=True)
    engine.state.write_text(json.dumps("a file where the state folder should be"))
    with pytest.raises(EngineFailed, match="is a file"):
        engine.drain()


def test_what_the_demo_says_to_try_works_as_it_is_written(told):
    """The last one, because it rolls back and drops another file."""
    folder, out = told
    commands = [line.strip().partition("  ")[0] for line in out.partition("Try next\n")[2].splitlines()]
    assert [command for command in commands if command.endswith(" handlers run")] == commands[-1:]
    for command in commands[:-1]:
        done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), f"{command}: {done.stderr}"
    assert len(commands) == 8
