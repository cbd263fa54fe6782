import pytest

from handlers import sample
from handlers.schema import moment
from triggers import Reject


def test_a_good_file_is_stored_and_announced_with_the_newest_event_time(lab, text, rows):
    event = lab.arrive("first.csv", text)
    assert (event.file, event.rows, event.as_of) == ("first.csv", 60, moment(rows.times.max()))
    assert lab.store.partitions() == [event.partition]


def test_the_same_content_under_another_name_changes_nothing(lab, text):
    first, again = lab.arrive("first.csv", text), lab.arrive("copy.csv", text)
    assert again.partition == first.partition
    assert len(lab.store.partitions()) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bad-value.csv", "bad-value.csv, row 17: mean_area is -1092, outside 0 to 20000"),
        ("bad-columns.csv", "bad-columns.csv lacks 1 of 33 columns: mean_area"),
    ],
)
def test_the_bad_sample_files_are_rejected_and_leave_no_trace(lab, name, reason):
    with pytest.raises(Reject) as caught:
        lab.arrive(name, sample.bad()[name])
    assert str(caught.value) == reason
    assert lab.store.partitions() == []


def test_a_file_that_contradicts_a_stored_reading_is_rejected(lab, text, edit):
    lab.arrive("first.csv", text)
    with pytest.raises(Reject, match="sample S0002 at 2024-03-04 08:10 is stored with other values"):
        lab.arrive("other.csv", edit(3, "mean_radius", "11.5").decode())


def test_a_correction_with_a_later_time_is_what_is_read_from_then_on(lab, text, edit):
    lab.arrive("first.csv", text)
    header, *lines = edit(3, "mean_radius", "11.5").decode().splitlines()
    corrected = lines[2].replace("2024-03-04T08:10:00Z", "2024-03-04T20:00:00Z")
    lab.arrive("correction.csv", f"{header}\n{corrected}\n")
    now = lab.store.read()
    assert now.values[now.ids.tolist().index("S0002"), 0] == 11.5
    assert len(now) == 60
