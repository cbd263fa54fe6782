"""`triggers simulate`: the past under other rules, in words, as JSON and as a picture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.commands.conftest import Project

SWF = """; MaxProcs: 4
1 0 -1 100 2 -1 -1 2 -1 -1 1 1 1 1 1 -1 -1 -1
2 10 -1 100 2 -1 -1 2 -1 -1 1 1 1 1 1 -1 -1 -1
3 20 -1 50 4 -1 -1 4 -1 -1 1 2 1 1 1 -1 -1 -1
"""

REST = " -1 -1 1 -1 -1 1 2 1 1 1 -1 -1 -1\n"
"""What follows the processors of a job."""


def test_what_has_run_is_replayed_and_how_far_off_that_is_is_said(project: Project) -> None:
    project.drain("a.csv", "b.csv", "flaky.csv")
    answer = project("simulate")
    assert [line.split("  ")[0] for line in answer.out.splitlines()] == ["SCHEDULE", "as it was", "replayed as it is"]
    assert "5 runs; idle is what was free" in answer.err  # the flaky one took two attempts, which are as they were
    assert "replayed as it is, a run starts " in answer.err
    found = project("simulate", "--json").data
    assert [one["runs"] for one in found["schedules"]] == [5, 5]
    assert found["error"]["p95"] < 1


def test_other_policies_and_machines_are_compared(project: Project) -> None:
    project.drain("a.csv", "b.csv")
    options = (
        "--policy",
        "triggers.policy:by_rank",
        "--policy",
        "mine:last",
        "--capacity",
        "thread=1",
        "--aging",
        "60",
    )
    project.write("mine.py", "def last(view):\n    return list(range(len(view.lanes)))[::-1]\n")
    found = project("simulate", "--json", *options).data["schedules"]
    assert [one["schedule"] for one in found[2:]] == ["by_rank, thread=1, aging=60", "last, thread=1, aging=60"]
    assert all(one["mean"] >= 0 and one["never"] == one["failed"] == 0 for one in found)


def test_a_policy_that_fails_is_told_of(project: Project) -> None:
    project.write("mine.py", "def broken(view):\n    return [99]\n")
    answer = project("simulate", "--synthetic", "1", "--runs", "50", "--policy", "mine:broken")
    assert answer.code == 0
    assert "warning: broken: the default policy made" in answer.err


def test_a_log_of_others_is_simulated_and_drawn(project: Project, tmp_path: Path) -> None:
    log = project.write("small.swf", SWF)
    answer = project("simulate", "--swf", str(log), "--capacity", "cpu=8", "--svg", "what.svg", "--json")
    before, after = answer.data["schedules"]
    assert (before["longest"], after["longest"]) == (90, 0)
    drawn = ElementTree.parse(tmp_path / "what.svg")
    texts = {element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"as it is", "cpu=8", "How long runs waited", "How much of the machine was in use"} <= texts
    assert {"1 s", "1 min"} <= texts
    assert "1 ms" not in texts


def test_short_waits_are_drawn_on_an_axis_of_their_own(project: Project, tmp_path: Path) -> None:
    log = project.write("short.swf", "".join(f"{n} {n} -1 1 1{REST}" for n in range(3)))
    project("simulate", "--swf", str(log), "--svg", "what.svg")
    assert ">1 ms<" in (tmp_path / "what.svg").read_text()


def test_what_is_left_out_of_a_log_is_counted_and_its_last_jobs_are_taken(project: Project) -> None:
    idle, large = ("4 30 -1 0 1" + REST, "5 30 -1 9 9" + REST)
    log = str(project.write("small.swf", SWF + idle + large + large))
    answer = project("simulate", "--swf", log, "--json")
    assert answer.data["schedules"][0]["runs"] == 3
    assert f"{log}: 1 job that ran for no time or on no processor left out" in answer.err
    assert f"{log}: 2 jobs larger than its machine left out" in answer.err
    assert project("simulate", "--swf", log, "--json", "--runs", "2").data["schedules"][0]["runs"] == 2


def test_a_job_of_a_log_that_does_not_fit_is_named_by_its_line(project: Project) -> None:
    log = project.write("small.swf", "; UnixStartTime: 0\n" + SWF)
    answer = project("simulate", "--swf", str(log), "--capacity", "cpu=3")
    said = f"{log}, line 5: the job needs 4 cpu, and --capacity cpu=3 is less; give it more, or take the line out"
    assert (answer.code, said in answer.err) == (1, True)


def test_a_window_is_tried_on_what_has_run(project: Project) -> None:
    project.drain("a.csv", "b.csv")
    opens = datetime.now(UTC) + timedelta(hours=2)
    hours = f"train={opens:%H}:00-{opens + timedelta(hours=1):%H}:00 UTC"
    found = project("simulate", "--json", "--window", hours).data
    waits = [one["longest"] for one in found["schedules"]]
    assert waits[1] < 60 < 3600 <= waits[2] <= 7200


def listed(project: Project, name: str, cheap: range, hours: int = 400) -> str:
    """Return a file of hourly prices from the year 2000 on that are low at some hours of the day."""
    first = 946_684_800
    lines = [f"{first + 3600 * hour},{1 if hour % 24 in cheap else 10}" for hour in range(hours)]
    return str(project.write(name, "moment,price\n" + "\n".join(lines)))


SYNTHETIC = ("--synthetic", "1", "--runs", "60", "--start", "2000-01-03T00:00Z", "--json")


def test_windows_are_tried_and_cost_what_a_list_says(project: Project) -> None:
    prices = listed(project, "prices.csv", range(3, 6))
    night = [word for route in ("train", "features", "process") for word in ("--window", f"{route}=03:00-06:00 UTC")]
    before, after = project("simulate", *SYNTHETIC, "--cost", prices, *night).data["schedules"]
    assert after["schedule"].startswith("train in 03:00-06:00 UTC, features in")
    assert after["costs"][prices] < before["costs"][prices] / 2
    assert after["mean"] > before["mean"]


def test_a_route_that_waits_for_a_price_list_costs_less_by_it_and_all_lists_are_compared(project: Project) -> None:
    night, day = listed(project, "night.csv", range(2, 6)), listed(project, "day.csv", range(11, 15))
    hourly = [f"{n} {3600 * n} -1 1800 1 -1 -1 1 -1 -1 1 1 1 1 -1 -1 -1 -1\n" for n in range(40)]
    log = str(project.write("hourly.swf", "; MaxProcs: 40\n; UnixStartTime: 946857600\n" + "".join(hourly)))
    options = ("simulate", "--swf", log, "--price", f"application 1={night}")
    before, after = project(*options, "--json").data["schedules"]
    assert after["schedule"] == f"application 1 by {night}"
    assert after["costs"][night] < before["costs"][night] * 0.3
    by_day = project(*options, "--cost", day, "--json").data["schedules"]
    assert by_day[1]["costs"][day] > by_day[0]["costs"][day]
    log = str(project.write("hourly.swf", "".join(hourly[:3]) + "9 9 -1 9 1 -1 -1 1 -1 -1 1 2 1 2 -1 -1 -1 -1\n"))
    answer = project(*options, "--price", f"application 2={day}", "--start", "2000-01-03T00:00Z")
    titles = answer.out.splitlines()[0]
    assert (titles.count("COST BY"), titles.endswith("DAY.CSV")) == (2, True)


PRICED = """
from triggers import App, Event, Prices

class Order(Event):
    n: int

app = App("shop")

@app.on(Order, price=Prices("prices.csv", within=3))
def bill(event: Order) -> None: ...
"""


def test_a_replay_waits_by_the_prices_of_the_app_and_says_where_it_has_them_no_more(project: Project) -> None:
    project.write("shop.py", PRICED)
    prices, now = project.write("prices.csv", ""), int(datetime.now(UTC).timestamp())
    prices.write_text("".join(f"{now - 60 + n},{n % 7}\n" for n in range(200)))
    project("send", "Order", "--app", "shop.py", '{"n": 1}')
    project("run", "shop.py", "--drain")
    answer = project("simulate", "--json", "--state", ".triggers/shop")
    assert [list(one["costs"]) for one in answer.data["schedules"]] == [["prices.csv"]] * 2
    prices.write_text("0,1\n60,1\n120,1\n240,1\n")
    answer = project("simulate", "--json", "--state", ".triggers/shop")
    said = "warning: bill waits for a price, by prices.csv, and here for none: prices.csv, line 4: between"
    assert (answer.code, said in answer.err) == (0, True)
    assert "--price bill=FILE tries a list" in answer.err
    assert answer.data["schedules"][1]["costs"] == {}


def test_a_list_that_does_not_cover_the_runs_is_told_of(project: Project) -> None:
    prices = listed(project, "prices.csv", range(3, 6), hours=49)
    answer = project("simulate", *SYNTHETIC, "--cost", prices)
    assert "its first or last price counts" in answer.err
    answer = project("simulate", "--synthetic", "1", "--runs", "9", "--cost", prices, "--json")
    assert (
        "has prices from 2000-01-01 00:00 UTC to 2000-01-03 01:00 UTC, and the runs are of 1970-01-05 00" in answer.err
    )
    assert answer.data["schedules"][0]["costs"] == {}


def test_what_holds_runs_back_and_is_not_simulated_is_named(project: Project) -> None:
    source = PRICED.replace(', price=Prices("prices.csv", within=3)', ', downstream="bank"')
    source = source.replace('App("shop")', 'App("shop", downstreams={"bank": Downstream()}, pressure=Pressure())')
    project.write("shop.py", source.replace("App, Event", "App, Downstream, Event, Pressure"))
    project("send", "Order", "--app", "shop.py", '{"n": 1}')
    project("run", "shop.py", "--drain")
    answer = project("simulate", "--state", ".triggers/shop")
    assert "warning: nothing is held back here by the breaker of bank, by the pressure on the machine" in answer.err


WRONG = {
    ("--capacity", "gpus=1"): (3, "the workload has no resource 'gpus'"),
    ("--window", "trian=22:00-06:00 UTC"): (3, "the workload has no route 'trian'; did you mean 'train'?"),
    ("--window", "train=at night"): (4, "'at night'"),
    ("--window", "train="): (2, "'train=' must be ROUTE=HOURS, as in train=22:00-06:00"),
    ("--cost", "app.py"): (4, "app.py, line"),
    ("--cost", "none.csv"): (4, "none.csv cannot be read: No such file or directory;"),
    ("--price", "train=app.py"): (4, "app.py, line"),
    ("--price", "trian=app.py"): (3, "the workload has no route 'trian'; did you mean 'train'?"),
    ("--start", "2026-01-05"): (2, "--start moves --swf and --synthetic; what is in a journal has its own time"),
    ("--capacity", "cpu"): (2, "'cpu' must be NAME=AMOUNT, as in cpu=8"),
    ("--capacity", "cpu=many"): (2, "'cpu=many' has no amount; write a number, 0 for none, or"),
    ("--capacity", "thread=0"): (1, "runs of these routes can never start: process (needs 1 thread), train (needs 1"),
    ("--policy", "asyncio:sleep"): (4, "--policy asyncio:sleep is async, and nothing waits for a decision"),
    ("--policy", "pathlib:Path"): (4, "--policy pathlib:Path is a class; write a function from a view"),
    ("--policy", "math:pi"): (4, "--policy math:pi is no function; write a function from a view"),
    ("--policy", "shutil:move"): (4, "--policy shutil:move is called with the view alone, and that will not do"),
    ("--policy", "mine"): (3, "'mine' is no policy; write MODULE:FUNCTION"),
    ("--policy", "triggers.policy:fifo"): (3, "triggers.policy has no function 'fifo'"),
    ("--policy", "nothing:here"): (3, "no module 'nothing'"),
    ("--svg", "nowhere/x.svg"): (4, "nowhere/x.svg cannot be written: No such file or directory"),
    ("--swf", "app.py", "--synthetic", "1"): (2, "are three workloads; give one of them"),
}


@pytest.mark.parametrize("options", WRONG, ids=" ".join)
def test_what_cannot_be_tried_is_said(project: Project, options: tuple[str, ...]) -> None:
    project.drain("a.csv")
    answer = project("simulate", *options)
    assert (answer.code, WRONG[options][1] in answer.err) == (WRONG[options][0], True)


def test_a_resource_that_nobody_needs_may_be_taken_away(project: Project) -> None:
    project.write("app.py", (project.home / "app.py").read_text().replace('"churn",', '"churn", resources={"gpu": 1},'))
    project.drain("a.csv")
    found = project("simulate", "--capacity", "gpu=0", "--svg", "what.svg", "--json").data["schedules"]
    assert [(one["schedule"], one["runs"], one["never"]) for one in found[2:]] == [("gpu=0", 2, 0)]


def test_where_nothing_has_run_there_is_nothing_to_replay(project: Project) -> None:
    project.drain()
    answer = project("simulate")
    assert answer.code == 3
    assert "no run has ended well yet, so there is nothing to replay" in answer.err
