"""Run records, over a table in memory that holds conditions as DynamoDB does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.aws.deployed import row
from tests.aws.memory import Table
from triggers import Event
from triggers.attempt import Failure
from triggers.aws import wire
from triggers.aws.records import Claim, Records, Sighting, Standing, Superseded
from triggers.errors import TriggersError


class Processed(Event):
    n: int


EVENT = row(Processed(n=1), id="7")
NOW = 1_800_000_000.25


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def records(table: Table) -> Records:
    return Records(table, "churn-runs", 30)


def claim(
    records: Records, holder: str = "one", now: float = NOW, lease: float = 60.0, *, begins: bool = True
) -> Claim | Standing:
    return records.claim(5, "train", EVENT, wire.write(EVENT), holder, now, now + lease, begins=begins)


def claimed(records: Records, holder: str = "one", now: float = NOW, lease: float = 60.0) -> Claim:
    found = claim(records, holder, now, lease)
    assert isinstance(found, Claim)
    return found


def test_a_run_that_is_claimed_is_not_claimed_by_another(records: Records) -> None:
    assert claim(records) == Claim(5, 1, 1, NOW, wire.write(EVENT), lost=(NOW, NOW))
    assert claim(records, "two", now=NOW + 59) == Standing(5, "running", 1, NOW + 60, False)


def test_a_lease_that_has_passed_is_taken_over_and_who_held_it_settles_nothing(records: Records, table: Table) -> None:
    first = claimed(records)
    second = claimed(records, "two", now=NOW + 61)
    assert (second.start, second.attempt, second.first) == (2, 2, NOW)
    with pytest.raises(Superseded, match=r"run r5 was settled too late: .* it is running by another"):
        records.done(first, 0, NOW + 62)
    records.done(second, 0, NOW + 63)
    assert table.record()["state"] == "done"


def test_a_claim_whose_answer_was_lost_is_the_same_when_it_is_asked_again(records: Records) -> None:
    assert claim(records) == claim(records)


def test_a_settlement_whose_answer_was_lost_is_the_same_when_it_is_asked_again(records: Records) -> None:
    mine = claimed(records)
    records.done(mine, 0, NOW + 1)
    records.done(mine, 0, NOW + 1)


def test_what_a_run_emitted_comes_back_in_order_from_as_many_parts_as_it_takes(records: Records, table: Table) -> None:
    mine = claimed(records)
    texts = [f"{n}" + "é" * 60_000 for n in range(9)]
    assert records.keep(mine, texts, NOW) == 5
    assert max(sum(len(text["S"].encode()) for text in item["events"]["L"]) for item in parts(table)) <= 350_000
    table.page = 2  # of DynamoDB's megabyte
    assert list(records.emitted(5, mine.start)) == texts


def test_what_an_attempt_kept_that_was_not_settled_does_not_count(records: Records) -> None:
    records.keep(claimed(records), ["lost"], NOW)
    second = claimed(records, "two", now=NOW + 61)
    records.keep(second, ["kept"], NOW)
    assert list(records.emitted(5, second.start)) == ["kept"]


def test_a_run_waits_until_it_is_due(records: Records) -> None:
    records.wait(claimed(records), Failure("OSError", "no", ""), NOW + 30, NOW, counted=False)
    assert claim(records, now=NOW + 29) == Standing(5, "waiting", 1, NOW + 30, False)
    again = claimed(records, now=NOW + 30)
    assert (again.start, again.attempt) == (2, 1)


def test_an_error_is_kept_as_far_as_a_record_has_room(records: Records, table: Table) -> None:
    failure = Failure("OSError", "é" * 100_000, "first\n" + "é" * 100_000 + "\nlast")
    records.dead(claimed(records), failure, 0, NOW)
    kept = table.record()
    assert len(kept["error"].encode()) <= 2_000
    assert len(kept["traceback"].encode()) <= 30_000
    assert kept["traceback"].endswith("last")


def test_what_has_ended_is_kept_for_the_retention_and_at_least_as_long_as_a_message_may_come(table: Table) -> None:
    records = Records(table, "churn-runs", 1)
    records.done(claimed(records), 0, NOW)
    assert table.record()["expires"] == int(NOW) + 14 * 86_400


def test_a_run_of_another_event_is_an_error(records: Records) -> None:
    claim(records)
    other = row(Processed(n=2), id="8")
    with pytest.raises(TriggersError, match=r"is one of .'test', '7', 'train'., not of .'test', '8', 'train'."):
        records.claim(5, "train", other, wire.write(other), "one", NOW, NOW + 60)


def test_a_run_of_which_only_the_key_is_there_is_tried_again_and_not_taken_for_another(
    records: Records, table: Table
) -> None:
    table.items["r5", "run"] = {"run": {"S": "r5"}, "part": {"S": "run"}}
    with pytest.raises(TriggersError, match=r"run r5 in table 'churn-runs' is not there yet: .* try again"):
        claim(records)


def test_every_attempt_has_the_event_of_the_first_claim(records: Records, table: Table) -> None:
    records.wait(claimed(records), None, NOW + 1, NOW, counted=True)
    again = row(Processed(n=2), id="7")
    second = records.claim(5, "train", again, wire.write(again), "two", NOW + 2, NOW + 62)
    assert isinstance(second, Claim)
    assert second.event == table.record()["event"] == wire.write(EVENT)


def told(records: Records, *seen: str) -> list[str]:
    """Return which of these notices, `etag-sequencer` each, a run begins on."""
    return [id for id in seen if is_new(records, id)]


def is_new(records: Records, id: str, route: str = "train") -> bool:
    event = EVENT._replace(id=id, subject="a.csv")
    return records.is_new(route, event, Sighting(*id.split("-")), NOW)


@pytest.mark.parametrize(
    ("seen", "begun"),
    [
        (["E1-01", "E1-02"], ["E1-01"]),
        (["E1-01", "E1-01"], ["E1-01", "E1-01"]),
        (["E1-01", "E2-02", "E1-03"], ["E1-01", "E2-02", "E1-03"]),
        (["E2-02", "E1-01"], ["E2-02"]),
        (["E1-01", "E1-03", "E2-02"], ["E1-01"]),
        (["E1-0A", "E2-0a00", "E3-0a01"], ["E1-0A", "E2-0a00", "E3-0a01"]),
        (["E3-0a01", "E1-0A", "E2-0a00"], ["E3-0a01"]),
        (["E1-0AF", "E2-0a01"], ["E1-0AF"]),
    ],
    ids=["same-bytes", "itself", "and-back", "late", "between", "fractions", "fractions-late", "any-case"],
)
def test_a_route_is_told_of_each_content_that_follows_another(
    records: Records, seen: list[str], begun: list[str]
) -> None:
    assert told(records, *seen) == begun


def test_each_route_is_told_for_itself(records: Records) -> None:
    assert is_new(records, "E1-01", "train")
    assert is_new(records, "E1-02", "report")


@pytest.mark.parametrize("again", ["E2-02", "E1-02"], ids=["other-bytes", "same-bytes"])
def test_what_was_told_of_an_object_expires_60_days_after_its_runs_and_counts_anew_when_it_is_told_again(
    records: Records, table: Table, again: str
) -> None:
    event, days = EVENT._replace(subject="a.csv"), 86_400
    for moment, id in ((NOW, "E1-01"), (NOW + 5 * days, again)):
        records.is_new("train", event._replace(id=id), Sighting(*id.split("-")), moment)
        [kept] = parts(table)
        assert kept["expires"] == {"N": f"{int(moment) + (30 + 60) * days}"}


def test_what_begins_no_run_goes_on_with_one_that_there_is(records: Records) -> None:
    assert claim(records, begins=False) == Standing(5, "known", 0)
    records.wait(claimed(records), None, NOW + 1, NOW, counted=True)
    again = claim(records, now=NOW + 2, begins=False)
    assert isinstance(again, Claim)
    assert again.start == 2


def test_a_rejected_message_of_any_length_is_kept_whole(records: Records, table: Table) -> None:
    body = "é" * 500_001 + "\ud800"
    records.reject(5, "train", "orders\udfff", "m1", body, "too large", NOW)
    kept, rest = table.record(), sorted(parts(table), key=lambda item: str(item["part"]["S"]))
    pieces = [kept["event"], *(item["rest"]["S"] for item in rest)]
    assert "".join(pieces) == "é" * 500_001 + "?"
    assert max(len(piece.encode()) for piece in pieces) <= 300_000
    assert (kept["source"], kept["parts"]) == ("orders?", len(rest))


def parts(table: Table) -> list[dict[str, Any]]:
    return [item for key, item in table.items.items() if key[1] != "run"]
