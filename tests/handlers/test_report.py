import json
from datetime import UTC, datetime

from handlers.report import report
from triggers import Tick


def test_the_morning_report_says_who_is_champion_and_how_old_the_data_is(lab):
    deployed = lab.deploy_first()
    report(Tick(schedule="report", due=datetime(2024, 3, 10, 6, tzinfo=UTC)), lab.context())
    health = json.loads((lab.home / "reports" / "health.json").read_bytes())
    assert (health["champion"], health["samples"], health["data_age_days"]) == (deployed.model, 180, 3)


def test_the_report_of_an_empty_pipeline_is_not_an_error(lab):
    report(Tick(schedule="report", due=datetime(2024, 3, 10, 6, tzinfo=UTC)), lab.context())
    health = json.loads((lab.home / "reports" / "health.json").read_bytes())
    assert (health["champion"], health["samples"], health["newest_reading"]) == (None, 0, None)
