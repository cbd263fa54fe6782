"""When runs may start and must have ended: windows, prices, deadlines, first starts and expiry, of an app at work."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.kit import Life, delivery
from triggers import App, Event, Prices, Rate, Window
from triggers.errors import WiringError
from triggers.requests import Redrive, Replay
from triggers.testing import FakeClock

HOUR = 3600.0
NIGHT = "22:00-06:00"
Start = Callable[..., Life]


class Job(Event):
    n: int = 0
    urgent: bool = False
    text: str = ""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start an app at noon, in which a run is predicted to take so many seconds: (p50, p90)."""
    lives: list[Life] = []

    def begin(app: App, predicted: tuple[float | None, float | None] = (None, None), clock: Any = None) -> Life:
        lives.append(Life(app, tmp_path / "state", clock or FakeClock(datetime(2026, 1, 1, 12, tzinfo=UTC))))
        lives[-1].dispatcher.admission.forecast = lambda route, size: predicted
        return lives[-1]

    yield begin
    for life in lives:
        life.end()


class Bench:
    """An app with one route that notes when its runs start."""

    def __init__(self, **options: Any) -> None:
        self.begun: list[tuple[int, str]] = []
        self.life: Life | None = None
        self.app = App("a")
        self.app.on(Job, name="job", **options)(self.job)

    async def job(self, event: Job) -> None:
        assert self.life
        at = datetime.fromtimestamp(self.life.clock.now(), UTC)
        self.begun.append((event.n, at.strftime("%d %H:%M")))

    def at_work(self, start: Start, *arguments: Any) -> Life:
        self.life = start(self.app, *arguments)
        return self.life


def hours(life: Life, count: float) -> None:
    life.advance(count * HOUR)


# --- Windows ---------------------------------------------------------------------------------------------------------


def test_a_clock_that_was_wrong_for_a_while_keeps_nothing_from_its_window(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start)
    life.clock.set_wall(datetime(2026, 1, 5, 7, tzinfo=UTC))
    life.send(Job(n=1))
    life.clock.set_wall(datetime(2026, 1, 1, 12, tzinfo=UTC))
    hours(life, 11)
    assert bench.begun == [(1, "01 22:00")]


def test_work_waits_for_its_window_and_within_it_for_nothing(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start)
    life.send(Job(n=1))
    hours(life, 9.9)
    assert (bench.begun, life.states()) == ([], [("waiting", 0)])
    hours(life, 1)
    life.send(Job(n=2))
    assert bench.begun == [(1, "01 22:00"), (2, "01 22:54")]


def test_work_that_would_not_end_within_the_window_waits_for_the_next_one(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start, (HOUR, 4 * HOUR))
    hours(life, 14.5)  # half past two
    life.send(Job(n=1))
    assert bench.begun == []
    hours(life, 24)
    assert bench.begun == [(1, "02 22:00")]


def test_each_run_is_predicted_by_the_size_of_its_own_input(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start)
    large = len(Job(n=1, text="x" * 1000).model_dump_json())
    life.dispatcher.admission.forecast = lambda route, size: (HOUR, 7 * HOUR if size >= large else 2 * HOUR)
    hours(life, 13)  # one o'clock
    life.append(Job(n=1), Job(n=2, text="x" * 1000))
    life.settle()
    assert bench.begun == [(1, "02 01:00")]
    hours(life, 24)
    assert bench.begun[1:] == [(2, "02 22:00")]


LARGE = {"text": "x" * 1000}


def long_if_large(life: Life, small: float, large: float) -> None:
    """Predict two lengths of runs, by the size of their inputs."""
    life.dispatcher.admission.forecast = lambda route, size: (large, large) if (size or 0) >= 1000 else (small, small)


def test_who_fits_into_the_rest_of_the_window_does_not_wait_behind_who_does_not(start: Start) -> None:
    bench = Bench(window=NIGHT, expires=4 * HOUR)
    life = bench.at_work(start)
    long_if_large(life, HOUR / 4, 5 * HOUR)
    hours(life, 15)  # three o'clock
    life.send(Job(n=1, **LARGE), Job(n=2))
    hours(life, 24)
    assert bench.begun == [(2, "02 03:00")]
    assert life.states("job") == [("dropped", 0), ("done", 1)]


def test_who_must_start_early_for_its_deadline_does_not_wait_behind_who_need_not(start: Start) -> None:
    bench = Bench(window=NIGHT, deadline=11 * HOUR)
    life = bench.at_work(start)
    long_if_large(life, HOUR / 4, 8 * HOUR)
    life.send(Job(n=1), Job(n=2, **LARGE))
    hours(life, 24)
    assert bench.begun == [(2, "01 15:00"), (1, "01 22:00")]


def test_runs_whose_inputs_are_about_as_large_keep_their_order_behind_a_window(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(*[Job(n=n) for n in range(5)])
    hours(life, 11)
    assert [n for n, _ in bench.begun] == [0, 1, 2, 3, 4]


def test_runs_that_do_not_overlap_keep_their_order_behind_a_window_whatever_their_inputs(start: Start) -> None:
    bench = Bench(window=NIGHT, overlap="queue")
    life = bench.at_work(start)
    long_if_large(life, HOUR / 4, HOUR)
    life.send(Job(n=1, **LARGE), Job(n=2))
    hours(life, 11)
    assert [n for n, _ in bench.begun] == [1, 2]


def test_several_windows_are_open_when_any_of_them_is(start: Start) -> None:
    bench = Bench(window=["13:00-14:00", Window("18:00-19:00")])
    life = bench.at_work(start)
    life.send(Job(n=1))
    hours(life, 3)
    life.send(Job(n=2))
    hours(life, 8)
    assert bench.begun == [(1, "01 13:00"), (2, "01 18:00")]


@pytest.mark.parametrize("predicted", [(None, None), (HOUR, 2 * HOUR)])
def test_a_window_whose_last_day_is_over_has_its_runs_wait_and_no_others(
    start: Start, caplog: pytest.LogCaptureFixture, predicted: tuple[float | None, float | None]
) -> None:
    weekdays = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
    window = Window("00:00-24:00", exclude=weekdays, include={"2026-01-01"})
    bench = Bench(window=window)
    bench.app.on(Job, name="in time", window=window, deadline=5 * HOUR)(bench.job)
    bench.app.on(Job, name="other")(bench.job)
    life = bench.at_work(start, predicted)
    hours(life, 13)  # one o'clock on the day after
    life.send(Job(n=1))
    hours(life, 24)
    wanted = [("job", "waiting"), ("in time", "done"), ("other", "done")]
    assert [(run.route, run.state) for run in life.runs()] == wanted
    assert caplog.text.count("route 'job': its window 00:00-24:00 UTC except MON,TUE,WED,THU,FRI,SAT,SUN and 2026-01-01"
                             " does not open any more, so that its runs wait; give it days to come") == 1  # fmt: skip
    life.stop()
    assert [run.state for run in bench.at_work(start, predicted, life.clock).runs("job")] == ["waiting"]


def test_what_nobody_knows_the_time_of_starts_while_the_window_is_open(start: Start) -> None:
    bench = Bench(window="11:00-12:01")
    bench.at_work(start).send(Job(n=1))
    assert bench.begun == [(1, "01 12:00")]


def test_a_deadline_has_work_start_out_of_its_window_and_no_more_of_it_than_must(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(window=NIGHT, deadline=5 * HOUR)
    life = bench.at_work(start, (HOUR, 2 * HOUR))
    life.send(Job(n=1))
    hours(life, 1)
    life.send(Job(n=2))
    hours(life, 2.5)
    assert bench.begun == [(1, "01 15:00")]
    hours(life, 1)
    assert bench.begun == [(1, "01 15:00"), (2, "01 16:00")]
    assert "r1 starts outside its window 22:00-06:00 UTC, for its deadline 2026-01-01T17:00:00+00:00" in caplog.text


def test_a_deadline_before_the_window_opens_has_unknown_work_start_at_once(start: Start) -> None:
    bench = Bench(window=NIGHT, deadline="21:00")
    bench.at_work(start).send(Job(n=1))
    assert bench.begun == [(1, "01 12:00")]


def test_work_that_fits_no_window_is_complained_of_and_not_left_waiting_for_ever(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start, (8 * HOUR, 9 * HOUR))
    life.send(Job(n=1), Job(n=2))
    hours(life, 24)
    life.send(Job(n=3))
    hours(life, 12)
    assert [at for _, at in bench.begun] == ["01 22:00", "01 22:00", "02 22:00"]
    assert caplog.text.count("its runs take up to 9 h 0 min, which fits no opening of its window 22:00-06:00 UTC") == 1


def test_a_window_outlives_a_crash(start: Start) -> None:
    bench = Bench(window=NIGHT)
    life = bench.at_work(start)
    life.send(Job(n=1))
    life.crash()
    life = bench.at_work(start, (None, None), life.clock)
    life.settle()
    assert bench.begun == []
    hours(life, 11)
    assert bench.begun == [(1, "01 22:00")]


# --- Prices ----------------------------------------------------------------------------------------------------------


def price_list(file: Path, prices: list[float]) -> Path:
    """Write prices for each hour from noon on."""
    lines = [f"2026-01-{1 + (12 + n) // 24:02}T{(12 + n) % 24:02}:00,{price}\n" for n, price in enumerate(prices)]
    file.write_text("time,price\n" + "".join(lines))
    return file


def test_work_starts_when_all_of_it_is_cheapest(start: Start, tmp_path: Path) -> None:
    prices = price_list(tmp_path / "prices.csv", [9, 9, 1, 9, 9, 2, 2, 9, 9])  # one cheap hour, and two of another day
    bench = Bench(price=Prices(prices))
    life = bench.at_work(start, (HOUR, 2 * HOUR))
    life.send(Job(n=1))
    hours(life, 9)
    assert bench.begun == [(1, "01 17:00")]


def test_each_run_starts_when_it_is_cheapest_for_its_own_length(start: Start, tmp_path: Path) -> None:
    prices = price_list(tmp_path / "p.csv", [90, 20, 90, 30, 30, 90, 90])
    bench = Bench(price=Prices(prices, within=6 * HOUR))
    life = bench.at_work(start)
    long_if_large(life, HOUR, 2 * HOUR)
    life.send(Job(n=1, **LARGE), Job(n=2))
    hours(life, 24)
    assert bench.begun == [(2, "01 13:00"), (1, "01 15:00")]


def test_the_price_is_waited_for_within_the_window_and_for_the_deadline_only(start: Start, tmp_path: Path) -> None:
    prices = Prices(price_list(tmp_path / "prices.csv", [9, 1, 9, 3, 9, 2, 9, 1]))
    bench = Bench(price=prices, window="14:00-20:00", deadline=5 * HOUR)
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(Job(n=1))
    hours(life, 8)
    assert bench.begun == [(1, "01 15:00")]


def test_the_price_is_waited_for_until_a_run_expires_and_not_beyond(start: Start, tmp_path: Path) -> None:
    prices = Prices(price_list(tmp_path / "prices.csv", [9, 8, 5, 9, 2, 9, 1, 9]))
    bench = Bench(price=prices, expires=3 * HOUR)
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(Job(n=1))
    hours(life, 8)
    assert bench.begun == [(1, "01 14:00")]


def test_a_new_price_list_changes_what_is_waited_for(start: Start, tmp_path: Path) -> None:
    file = price_list(tmp_path / "prices.csv", [9, 9, 9, 9, 1])
    bench = Bench(price=Prices(file))
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(Job(n=1))
    price_list(file, [9, 9, 0, 9, 1, 9])
    life.advance(90)
    life.send(Job(n=2))
    hours(life, 2)
    assert bench.begun == [(1, "01 14:00"), (2, "01 14:00")]


def test_prices_that_fail_or_are_not_there_are_not_waited_for(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    def meter(moment: float) -> float:
        raise OSError("no answer")

    bench = Bench(price=Prices(meter))
    bench.at_work(start, (HOUR, HOUR)).send(Job(n=1), Job(n=2))
    assert [n for n, _ in bench.begun] == [1, 2]
    assert caplog.text.count("meter failed: OSError('no answer'); runs start as if there were none") == 1


def reason(life: Life) -> str:
    """Return what the only run waits for, as others are told."""
    ((told,),) = life.ask("SELECT reason FROM closed")
    return str(told)


def test_prices_that_break_before_anybody_waited_are_those_that_were_known_at_the_start(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = price_list(tmp_path / "prices.csv", [9, 9, 9, 1, 9])
    bench = Bench(price=Prices(file))
    life = bench.at_work(start, (HOUR, HOUR))
    file.write_text("2026-01-01T12:00,9\n2026-01-01T13:00,dear\n")
    life.send(Job(n=1))
    assert reason(life).startswith(f"it is cheapest then, by {file} as it was before: {file}, line 2: ")
    assert "'2026-01-01T13:00,dear' is no moment with a price" in caplog.text
    assert "those known before go on until that is mended" in caplog.text
    hours(life, 4)
    assert bench.begun == [(1, "01 15:00")]


def test_prices_of_a_function_that_fails_later_go_on_as_they_were(start: Start) -> None:
    broken: list[bool] = []

    def meter(moment: float) -> float:
        if broken:
            raise OSError("no answer")
        return 1.0 if datetime.fromtimestamp(moment, UTC).hour == 15 else 9.0

    bench = Bench(price=Prices(meter, step="1h"))
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(Job(n=1))
    broken.append(True)
    hours(life, 2)
    assert reason(life).endswith("meter as it was before: " + f"{meter.__qualname__} failed: OSError('no answer')")
    hours(life, 2)
    assert bench.begun == [(1, "01 15:00")]


def test_where_the_prices_of_a_function_that_fails_have_ended_it_is_said_what_failed(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    broken: list[bool] = []

    def meter(moment: float) -> float:
        if broken:
            raise OSError("no answer")
        return 1.0

    bench = Bench(price=Prices(meter, within="2h"))
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(Job(n=1))
    broken.append(True)
    hours(life, 5)
    life.send(Job(n=2), Job(n=3))
    assert [n for n, _ in bench.begun] == [1, 2, 3]
    ended = f"have ended, so that its runs go by none; {meter.__qualname__} failed: OSError('no answer')"
    assert caplog.text.count(ended) == 1


def test_a_function_that_fails_is_asked_again_after_a_minute_and_not_for_each_run(start: Start) -> None:
    asked: list[float] = []

    def meter(moment: float) -> float:
        asked.append(moment)
        raise OSError("no answer")

    bench = Bench(price=Prices(meter), window=NIGHT)
    life = bench.at_work(start, (HOUR, HOUR))
    life.send(*(Job(n=n) for n in range(9)))
    assert len(asked) == 1
    assert "outside its window 22:00-06:00 UTC; it goes by no price: " in reason(life)
    life.advance(61)
    life.send(Job(n=9))
    assert len(asked) == 2


def test_prices_that_have_run_out_are_complained_of_once(
    start: Start, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(price=Prices(price_list(tmp_path / "prices.csv", [9, 1])))
    life = bench.at_work(start, (HOUR, HOUR))
    hours(life, 3)
    life.send(Job(n=1), Job(n=2))
    life.send(Job(n=3))
    assert [at for _, at in bench.begun] == ["01 15:00"] * 3
    assert caplog.text.count("prices.csv) have ended, so that its runs go by none; add more") == 1


def test_an_app_whose_prices_have_a_gap_does_not_start(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_text("2026-01-01T00:00,1\n2026-01-01T01:00,1\n2026-01-01T02:00,1\n2026-01-01T04:00,1\n")
    with pytest.raises(WiringError, match=r"prices.csv, line 4: between 2026-01-01T02:00:00Z and .*04:00:00Z is a gap"):
        Bench(price=Prices(file)).at_work(start)


# --- Deadlines -------------------------------------------------------------------------------------------------------


def test_who_must_start_now_for_a_deadline_goes_before_all_that_waited_longer(start: Start) -> None:
    order: list[int] = []
    go = asyncio.Event()
    app = App("a", resources={"slot": 1})

    async def job(event: Job) -> None:
        order.append(event.n)
        if event.n == 0:
            await go.wait()

    app.on(Job, name="usual", where={"urgent": [False]}, needs={"slot": 1})(job)
    app.on(Job, name="promised", where={"urgent": [True]}, needs={"slot": 1}, deadline=HOUR)(job)
    life = start(app, (0.6 * HOUR, HOUR))
    life.append(Job(n=0), *(Job(n=n) for n in range(1, 6)), Job(n=6, urgent=True))
    life.until(lambda: order)
    life.clock.step(life.clock.monotonic() + 60)

    async def open_gate() -> None:
        go.set()

    life.run(open_gate())
    life.settle()
    assert order[:2] == [0, 6]


def test_a_missed_deadline_is_said_once_wherever_the_run_waits(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    app, hold = App("a", resources={"slot": 1}), asyncio.Event()

    @app.on(Job, needs={"slot": 1}, deadline=HOUR)
    async def job(event: Job) -> None:
        await hold.wait()

    life = start(app)
    life.append(Job(n=1), Job(n=2))  # one at work, one waiting

    async def passing(seconds: float) -> None:
        until = life.clock.monotonic() + seconds
        while life.clock.step(until):
            for _ in range(20):
                await asyncio.sleep(0)

    life.run(passing(60))
    life.append(Job(n=3))
    life.run(passing(3 * HOUR))
    told = "not ended by the deadline (2026-01-01T13:0{}:00+00:00); `triggers why` tells what each waited for"
    assert [text for text in caplog.messages if "deadline" in text] == [
        f"route 'job': r1, r2 {told.format(0)}",
        f"route 'job': r3 {told.format(1)}",
    ]


def test_a_run_that_starts_too_late_for_its_deadline_says_so(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    Bench(deadline=HOUR).at_work(start, (2 * HOUR, 3 * HOUR)).send(Job(n=1))
    assert "r1 will miss its deadline 2026-01-01T13:00:00+00:00: it starts now, and is expected" in caplog.text


# --- First starts ----------------------------------------------------------------------------------------------------


def test_not_before_delays_a_run_also_over_a_crash(start: Start) -> None:
    bench = Bench(not_before="07:00 Europe/Berlin")
    life = bench.at_work(start)
    life.send(Job(n=1))
    assert life.states() == [("delayed", 0)]
    life.crash()
    life = bench.at_work(start, (None, None), life.clock)
    hours(life, 17.9)
    assert bench.begun == []
    hours(life, 1)
    assert bench.begun == [(1, "02 06:00")]
    assert life.states() == [("done", 1)]


def test_runs_in_single_file_start_in_order_behind_one_that_is_delayed(start: Start) -> None:
    bench = Bench(not_before=HOUR, overlap="queue")
    life = bench.at_work(start)
    once = delivery(Job(n=1), id="same")
    life.accept(once)
    life.accept(once, Job(n=2))  # a duplicate holds nobody up
    life.accept(Redrive(runs=[life.runs()[1].number]))
    assert bench.begun == []  # it need not wait any more, but for the one before it
    hours(life, 2)
    assert bench.begun == [(1, "01 13:00"), (2, "01 13:00")]


def test_who_waits_behind_a_delayed_run_of_its_key_starts_when_that_expires(start: Start) -> None:
    bench = Bench(not_before="22:00", expires=HOUR, overlap="queue", key="text")
    life = bench.at_work(start)
    life.send(Job(n=1))
    hours(life, 0.5)
    life.send(Job(n=2))
    life.accept(Redrive(runs=[life.runs()[1].number]))
    assert bench.begun == []
    hours(life, 0.6)
    assert bench.begun == [(2, "01 13:00")]


def test_who_must_have_ended_before_it_may_start_does_not_wait(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(not_before="22:00", deadline=HOUR)
    bench.at_work(start).send(Job(n=1))
    assert bench.begun == [(1, "01 12:00")]
    assert "deadline=3600 s comes before not_before=22:00 UTC" in caplog.text


# --- Expiry ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "state"),
    [
        ({"window": NIGHT}, "waiting"),
        ({"window": NIGHT, "overlap": "queue"}, "waiting"),
        ({"not_before": "22:00"}, "delayed"),
    ],
)
def test_what_has_not_started_when_it_expires_is_dropped_with_the_reason(
    start: Start, options: dict[str, Any], state: str
) -> None:
    bench = Bench(expires=2 * HOUR, **options)
    life = bench.at_work(start)
    life.send(Job(n=1))
    hours(life, 1)
    life.send(Job(n=2))
    hours(life, 1)
    assert [run.state for run in life.runs()] == ["dropped", state]
    assert life.runs()[0].error == "not started by 2026-01-01T14:00:00Z, when it expired (expires=)"
    hours(life, 1)
    assert life.dispatcher.admission.empty()
    assert life.engine.journal.open_runs == 0
    hours(life, 23)
    assert bench.begun == []
    life.accept(Redrive(runs=[1]))
    hours(life, 24)
    assert [n for n, _ in bench.begun] == [1]  # somebody asked for it: it does not expire


@pytest.mark.parametrize("waits", [False, True], ids=["claimed at once", "chosen"])
def test_what_expires_before_it_can_be_written_down_does_not_start(start: Start, waits: bool) -> None:
    bench = Bench(expires=10, **({"priority": lambda job: job.n} if waits else {}))
    life = bench.at_work(start)
    life.send(Job(n=1))
    life.meanwhile(Job(n=2), Job(n=3), seconds=20)
    hours(life, 1)
    assert [n for n, _ in bench.begun] == [1, 2]
    assert life.states()[2:] == [("dropped", 0)]
    assert life.engine.journal.open_runs == 0
    life.send(Job(n=4))
    assert bench.begun[-1][0] == 4


def test_what_expires_while_nobody_is_at_work_is_dropped_at_the_next_start(start: Start) -> None:
    bench = Bench(expires=HOUR, window=NIGHT)
    life = bench.at_work(start)
    life.send(Job(n=1))
    life.crash()
    life.clock.step(life.clock.monotonic() + 11 * HOUR)  # into the window
    while life.clock.step(life.clock.monotonic() + 11 * HOUR):
        pass
    life = bench.at_work(start, (None, None), life.clock)
    life.settle()
    assert (bench.begun, [run.state for run in life.runs()]) == ([], ["dropped"])


def test_a_replayed_run_has_moments_of_its_own(start: Start) -> None:
    bench = Bench(expires=HOUR, deadline=2 * HOUR, window=NIGHT)
    life = bench.at_work(start, (None, 0.1 * HOUR))
    life.send(Job(n=1))
    hours(life, 3)
    life.accept(Replay(events=[1]))
    hours(life, 3)
    assert [run.state for run in life.runs()] == ["dropped", "dropped"]


def test_what_has_started_does_not_expire(start: Start) -> None:
    tries: list[int] = []
    app = App("a")

    @app.on(Job, expires=60)
    async def job(event: Job) -> None:
        tries.append(event.n)
        if len(tries) < 2:
            from triggers import Later

            raise Later(minutes=10)

    life = start(app)
    life.send(Job(n=1))
    hours(life, 1)
    assert tries == [1, 1]
    assert [run.state for run in life.runs()] == ["done"]


# --- What makes no sense ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": "22:00-22:00"}, "route 'job': window '22:00-22:00' never opens"),
        ({"window": 22}, "route 'job': window 22 is no text"),
        ({"deadline": "soon"}, "route 'job': deadline='soon' is no moment; write how long after the arrival"),
        ({"deadline": 60, "not_before": 3600}, "deadline='60 s' is not after not_before='3600 s'"),
        ({"expires": "07:00", "not_before": "07:00"}, "expires='07:00 UTC' is not after not_before='07:00 UTC'"),
        ({"not_before": 60, "overlap": "skip"}, "overlap='skip' decides when an event arrives"),
        ({"not_before": 60, "rate_limit": Rate(1, per=9)}, "rate_limit=Rate(1, per=9) decides when an event arrives"),
        ({"price": "prices.csv"}, "price='prices.csv' will not do; write e.g. price=Prices('prices.csv')"),
    ],
)
def test_times_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(WiringError) as refused:
        Bench(**options)
    assert words in str(refused.value)
