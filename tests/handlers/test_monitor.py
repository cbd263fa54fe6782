from datetime import timedelta

from handlers import sample
from handlers.monitor import COOL_DOWN, fresh_alarm, monitor


def test_without_a_champion_there_is_nothing_to_compare_with(lab, text):
    assert monitor(lab.arrive("first.csv", text), lab.context()) is None


def test_new_rows_like_the_old_ones_raise_no_alarm(lab):
    lab.deploy_first()
    for event in lab.arrive_all(sample.regular()):
        assert monitor(event, lab.context()) is None


def test_the_second_lab_raises_one_alarm_and_the_cool_down_silences_the_next(lab):
    lab.deploy_first()
    first, second = lab.arrive_all(sample.drifted())
    alarm = monitor(first, lab.context())
    assert alarm is not None
    assert alarm.partition == first.partition
    assert max(alarm.psi, key=alarm.psi.get) == "mean_radius"
    assert monitor(second, lab.context()) is None


def test_a_run_that_is_tried_again_raises_its_alarm_again_and_a_duplicate_event_does_not(lab):
    lab.deploy_first()
    event = lab.arrive_all(sample.drifted())[0]
    assert monitor(event, lab.context("run")) == monitor(event, lab.context("run"))
    assert monitor(event, lab.context()) is None
    assert len(lab.places["reports"].keys("drift/")) == 1


def test_the_cool_down_ends_by_the_time_in_the_data(lab):
    lab.deploy_first()
    event = lab.arrive_all(sample.drifted())[0]
    assert monitor(event, lab.context()) is not None
    reports, seen = lab.places["reports"], event.as_of
    assert fresh_alarm(reports, seen + COOL_DOWN - timedelta(seconds=1), "other") == seen.isoformat()
    assert fresh_alarm(reports, seen + COOL_DOWN, "other") is None


def test_a_handful_of_rows_is_not_compared(lab):
    lab.deploy_first()
    lines = next(iter(sample.drifted().values())).splitlines()[:20]
    assert monitor(lab.arrive("few.csv", "\n".join(lines)), lab.context()) is None
