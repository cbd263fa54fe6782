"""The whole chain at work: the real app over the harness, with training in processes of its own."""

from itertools import count

import psutil
import pytest

import handlers
from handlers import sample
from handlers.app import place
from handlers.events import Approved, Declined, Deployed, DriftDetected, FeaturesStored, Trained
from handlers.features import FeatureStore
from handlers.registry import Registry
from tests.handlers.conftest import NOW, Lab
from triggers.testing import Harness

REGULAR = sample.regular()
DRIFTED = sample.drifted()
FIRST, SECOND, THIRD, FOURTH, FIFTH = REGULAR
FIRST_MODEL = "e9c44c01397a"


@pytest.fixture
def pipeline(harness) -> Harness:
    """The app with nothing in it."""
    return harness(handlers.app)


@pytest.fixture
def serving(pipeline) -> Harness:
    """The app after its first three files: they were brought through its steps by hand, to save the time."""
    Lab(pipeline.folder, count(1)).deploy_first()
    return pipeline


def drop(pipeline: Harness, files: dict[str, str], *names: str) -> None:
    for name in names or files:
        pipeline.drop("incoming", name, files[name])


def registry(pipeline: Harness) -> Registry:
    return Registry(place("models", pipeline.folder))


def notices(pipeline: Harness) -> list[str]:
    """The notices without their times."""
    reports = place("reports", pipeline.folder)
    return sorted(reports.read(key).decode().rstrip().split(" ", 2)[2] for key in reports.keys("notices/"))


def workers() -> int:
    """How many processes for isolated handlers there are."""
    return sum("triggers.executor.worker" in child.cmdline() for child in psutil.Process().children())


def states(pipeline: Harness) -> set[str]:
    return {run.state for run in pipeline.runs()}


def test_three_dropped_files_become_a_model_that_serves_and_two_more_do_not_replace_it(pipeline):
    drop(pipeline, REGULAR, FIRST, SECOND)
    assert pipeline.events(Trained) == []
    assert [event.rows for event in pipeline.events(FeaturesStored)] == [60, 60]
    drop(pipeline, REGULAR, THIRD)
    (deployed,) = pipeline.events(Deployed)
    assert deployed.model.startswith(FIRST_MODEL)
    assert (round(deployed.auc, 4), deployed.previous) == (0.9981, None)
    assert registry(pipeline).champion() == deployed.model
    drop(pipeline, REGULAR, FOURTH, FIFTH)
    assert pipeline.events(DriftDetected) == []
    (declined,) = pipeline.events(Declined)
    assert declined.reason == "AUC 0.9966 against 0.9986: -0.0020 is less than the margin of 0.005"
    assert registry(pipeline).champion() == deployed.model
    assert notices(pipeline) == [
        f"DECLINED {declined.model[:12]}: {declined.reason}",
        f"DEPLOYED {FIRST_MODEL} (AUC 0.9981) after none",
    ]
    assert states(pipeline) == {"done"}


def test_broken_files_end_in_the_dead_letters_with_their_reasons_and_store_nothing(pipeline):
    drop(pipeline, sample.bad())
    assert {(run.route, run.attempt, run.error) for run in pipeline.dead} == {
        ("process", 1, "Reject: bad-value.csv, row 17: mean_area is -1092, outside 0 to 20000"),
        ("process", 1, "Reject: bad-columns.csv lacks 1 of 33 columns: mean_area"),
    }
    assert notices(pipeline) == [
        "FAILED process: Reject: bad-columns.csv lacks 1 of 33 columns: mean_area",
        "FAILED process: Reject: bad-value.csv, row 17: mean_area is -1092, outside 0 to 20000",
    ]
    assert FeatureStore(place("features", pipeline.folder)).partitions() == []


def test_training_has_a_process_of_its_own_and_checking_has_not(pipeline):
    assert workers() == 0
    drop(pipeline, sample.bad())
    assert workers() == 0
    drop(pipeline, REGULAR, FIRST)
    assert [run.state for run in pipeline.runs("train")] == ["done"]
    assert workers() == 1


def test_a_file_that_is_no_csv_waits_for_nobody(pipeline):
    pipeline.drop("incoming", "notes.txt", "the microscope was cleaned today")
    assert pipeline.runs() == []


def test_drift_retrains_at_once_and_cools_down_and_a_rollback_stays(serving):
    first = registry(serving).champion()
    early, late = DRIFTED
    drop(serving, DRIFTED, early)
    (drift,) = serving.events(DriftDetected)
    assert next(iter(drift.psi)) == "mean_radius"
    (deployed,) = serving.events(Deployed)
    assert (deployed.model, deployed.previous) == (registry(serving).champion(), first)
    (approved,) = serving.events(Approved)
    assert approved.reason == "AUC 0.9957 against 0.9686: +0.0271"

    registry(serving).rollback(at=NOW)
    delivered = len(serving.events(FeaturesStored))
    drop(serving, DRIFTED, early)  # the same file once more, written anew
    drop(serving, DRIFTED, late)  # drifted too, seen from the first champion; but the alarm is a day old
    assert len(serving.events(FeaturesStored)) == delivered + 2
    assert len(serving.events(DriftDetected)) == 1
    (trained,) = serving.events(Trained)
    serving.send(trained)
    assert [event.reason for event in serving.events(Declined)] == [
        "this very model was rolled back; train on other data to replace it"
    ]
    assert registry(serving).champion() == first
    assert states(serving) == {"done"}


def test_the_same_file_under_another_name_changes_nothing(serving):
    history, cards = registry(serving).history(), registry(serving).cards()
    partitions = FeatureStore(place("features", serving.folder)).partitions()
    serving.drop("incoming", "copy-of-the-first.csv", REGULAR[FIRST])
    assert serving.events(FeaturesStored)[-1].file == "copy-of-the-first.csv"
    assert FeatureStore(place("features", serving.folder)).partitions() == partitions
    assert (registry(serving).history(), registry(serving).cards()) == (history, cards)
    assert serving.events(Trained) == serving.events(DriftDetected) == []


def test_the_report_is_written_at_six_in_berlin_and_not_before(serving):
    health = serving.folder / "reports" / "health.json"
    serving.advance(hours=4, minutes=59)  # the harness begins at midnight UTC on the first of January
    assert not health.exists()
    serving.advance(minutes=1)
    text = health.read_text()
    assert '"due": "2026-01-01T05:00:00+00:00"' in text
    assert FIRST_MODEL in text
    serving.advance(days=1)
    assert '"due": "2026-01-02T05:00:00+00:00"' in health.read_text()
    assert [run.state for run in serving.runs("report")] == ["done", "done"]
