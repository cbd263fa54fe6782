"""The reference pipeline's handlers, unchanged, with all of their places in S3."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count

import boto3
import pytest

from handlers import sample
from handlers.__main__ import main
from handlers.deploy import deploy
from handlers.evaluate import evaluate
from handlers.events import Approved, Deployed, FeaturesStored, Trained
from handlers.monitor import monitor
from handlers.notify import notify_deployed, notify_drift
from handlers.report import report
from handlers.train import retrain
from tests.handlers.conftest import Lab
from triggers import ObjectCreated, Reject, Tick


@dataclass
class BucketLab(Lab):
    """The pipeline's places below a prefix in a bucket."""

    bucket: str

    def told(self, name: str) -> ObjectCreated:
        head = boto3.client("s3").head_object(Bucket=self.bucket, Key=f"demo/incoming/{name}")
        uri = f"{self.places['incoming']}/{name}?versionId={head['VersionId']}"
        return ObjectCreated(key=name, uri=uri, size=head["ContentLength"], version=head["VersionId"])


@pytest.fixture
def lab(endpoint: str, unique: str) -> BucketLab:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=unique)
    s3.put_bucket_versioning(Bucket=unique, VersioningConfiguration={"Status": "Enabled"})
    return BucketLab(f"s3://{unique}/demo", count(1), unique)


def drift(lab: BucketLab) -> tuple[FeaturesStored, Deployed]:
    """Have the second lab's file drift, and its model promoted."""
    stored = lab.arrive_all(dict(list(sample.drifted().items())[:1]))[0]
    alarm = monitor(stored, lab.context("alarm"))
    assert alarm is not None
    assert monitor(stored, lab.context("alarm")) == alarm, "a second attempt raises it again"
    assert monitor(stored, lab.context()) is None, "another run finds it fresh"
    notify_drift(alarm, lab.context("notice"))
    trained = retrain(alarm, lab.context("training"))
    assert isinstance(trained, Trained)
    assert retrain(alarm, lab.context("training")) == trained, "a second attempt finds its own work"
    approved = evaluate(trained, lab.context())
    assert isinstance(approved, Approved)
    deployed = deploy(approved, lab.context("switch"))
    assert isinstance(deployed, Deployed)
    assert deploy(approved, lab.context("switch")) == deployed
    return stored, deployed


def test_files_become_a_champion_that_drift_replaces_and_a_person_takes_back(
    lab: BucketLab, capsys: pytest.CaptureFixture[str]
) -> None:
    first = lab.deploy_first()
    with pytest.raises(Reject, match=r"bad-columns\.csv lacks 1 of 33 columns"):
        lab.arrive("bad-columns.csv", sample.bad()["bad-columns.csv"])
    stored, second = drift(lab)
    notify_deployed(second, lab.context("deployed"))
    report(Tick(schedule="", due=datetime(2024, 6, 1, tzinfo=UTC)), lab.context())
    assert (second.previous, lab.registry.champion()) == (first.model, second.model)
    reports = lab.places["reports"]
    assert f"drift/{stored.partition}.json" in reports.keys("drift/")
    assert len(reports.keys("evaluations/")) == len(reports.keys("notices/")) == 2
    assert second.model.encode() in reports.read("health.json")

    for words, said in (
        (["rollback"], f"champion is {first.model[:12]} again"),
        (["history"], "rolled back"),
        (["show"], f"* {first.model[:12]}"),
        (["predict", "S0007"], "S0007  malignant 0."),
        (["drop", "--drift"], f"dropped s3://{lab.bucket}/demo/incoming/lab-2-2024-03-10.csv"),
    ):
        assert main(["--home", str(lab.home), *words]) == 0
        assert said in capsys.readouterr().out
    assert main(["--home", str(lab.home), "demo"]) == 1
    assert "is a bucket; drop files there with" in capsys.readouterr().err
