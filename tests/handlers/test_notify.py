from handlers.events import Declined, Deployed, DriftDetected
from handlers.notify import notify_declined, notify_deployed, notify_drift, notify_failure
from tests.handlers.conftest import NOW
from triggers import RunFailed


def test_each_fact_is_one_notice_however_often_its_run_is_tried(lab):
    failed = RunFailed(
        run="r1",
        route="process",
        event_id="e1",
        event_type="ObjectCreated",
        error="Reject",
        message="bad.csv,\nrow 3",
        attempts=1,
    )
    for _ in range(2):
        notify_failure(failed, lab.context("k1"))
        notify_drift(DriftDetected(partition="p", as_of=NOW, psi={"mean_area": 1.234}), lab.context("k2"))
        notify_deployed(Deployed(model="a" * 64, previous=None, auc=0.98), lab.context("k3"))
        notify_declined(Declined(model="b" * 64, auc=0.9, champion_auc=0.95, reason="worse"), lab.context("k4"))
    reports = lab.places["reports"]
    assert {key: reports.read(key).decode() for key in reports.keys("")} == {
        "notices/2024-06-01T120000-k1.txt": "2024-06-01 12:00:00 FAILED process: Reject: bad.csv, row 3\n",
        "notices/2024-06-01T120000-k2.txt": "2024-06-01 12:00:00 DRIFT mean_area PSI 1.23\n",
        "notices/2024-06-01T120000-k3.txt": "2024-06-01 12:00:00 DEPLOYED aaaaaaaaaaaa (AUC 0.9800) after none\n",
        "notices/2024-06-01T120000-k4.txt": "2024-06-01 12:00:00 DECLINED bbbbbbbbbbbb: worse\n",
    }
