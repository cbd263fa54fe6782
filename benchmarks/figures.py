"""The figures: what each is called, how many trials it takes, and what it is held to."""

from __future__ import annotations

from statistics import median

from benchmarks import adaptive, forecasts, scheduling
from benchmarks.compared import COMPARED
from benchmarks.measure import Benchmark, Row, Trials, Variant, take

CRON_TOOLS = ("triggers", "croniter", "cronsim", "apscheduler")


def backlog(trials: Trials) -> list[Row]:
    """Memory while 200,000 events wait."""
    count = trials.setup.few(200_000, 20_000)
    (found,) = trials.beside(("resources.triggers_backlog", {"count": count}))
    grown = [peak - before for peak, before in zip(take(found, "peak"), take(found, "before"), strict=True)]
    return [
        Row(f"memory with {count:,} events waiting, peak", "MB", "less", None, take(found, "peak")),
        Row("of that, for the backlog", "MB", "less", None, grown),
    ]


def timers(trials: Trials) -> list[Row]:
    """A month of timers in the test harness, next firings, and many timers at one instant."""
    few = trials.setup.few
    days, seconds, many, most = few(30, 2), few(10, 2) / 10, few(10_000, 1_000), few(100_000, 5_000)
    (found,) = trials.beside(("resources.timers", {"days": days}))
    rates = trials.beside(*[("timers.rate", {"tool": tool, "seconds": seconds}) for tool in CRON_TOOLS])
    (some,) = trials.beside(("timers.instant", {"count": many, "lead": 4}))
    all_of_them = trials.run("timers.instant", count=most, lead=20)
    (routes,) = trials.beside(("timers.routes", {"count": many}))
    peer = trials.run("timers.apscheduler_instant", count=many, lead=4)
    peers = ", ".join(
        f"{tool} {median(take(results, 'slowest')):,.0f} to {median(take(results, 'fastest')):,.0f}"
        for tool, results in zip(CRON_TOOLS[1:], rates[1:], strict=True)
    )
    theirs = f"APScheduler: {peer['fired_once']:,} fired, p99 {peer['started']:,.0f} ms"
    return [
        Row(f"{days} days of a 5-minute timer, simulated", "s", "less", None, take(found, "seconds")),
        Row("next firings in a time zone, slowest text", "1/s", "more", 100_000, take(rates[0], "slowest"), note=peers),
        Row(f"{many:,} timers at one instant, released p99", "ms", "less", 100, take(some, "released")),
        Row(f"{many:,} timers at one instant, started p99", "ms", "less", 800, take(some, "started"), note=theirs),
        Row(f"{most:,} timers at one instant, fired once", "", "more", most, [all_of_them["fired_once"]]),
        Row(f"{many:,} timers as routes, declared and started", "s CPU", "less", 3, take(routes, "ready")),
    ]


def daylight(trials: Trials) -> list[Row]:
    """All zones that change their clocks in ten years against the oracle, and two of them by the peers."""
    found = trials.run("timers.daylight", tool="triggers", every=trials.setup.few(1, 40))
    notes = []
    for tool in CRON_TOOLS[1:]:
        peer = trials.run("timers.daylight", tool=tool, every=120)
        notes.append(f"{tool} {peer['different']} (and refuses {peer['refused']}) of {peer['cases']}")
    title = f"{found['cases']:,} cases in {found['zones']} zones, different"
    return [Row(title, "", "less", 0, [found["different"]], note=f"in 2 zones: {', '.join(notes)}")]


STORMS = {
    "burst": "files in one burst",
    "stall": "the same, the watcher stopped for 1 s",
    "folders": "the same into 1,000 new folders",
    "rename": "the same by a rename",
}
OURS_ALONE = {"kill": "the same, killed five times", "down": "the same, dropped while down"}


def files(trials: Trials) -> list[Row]:
    """Storms of files."""
    count = trials.setup.few(100_000, 5_000)
    rows = []
    for storm, words in {**STORMS, **OURS_ALONE}.items():
        arguments = {"count": count, "storm": storm}
        watchers = ("watchdog", "watchfiles") if storm in STORMS else ()
        peers: list[Variant] = [("files.observer", {**arguments, "watcher": name}) for name in watchers]
        ours, *theirs = trials.beside(("files.triggers", arguments), *peers)
        note = "; ".join(
            f"{name} lost {max(take(found, 'lost')):,.0f}" for name, found in zip(watchers, theirs, strict=True)
        )
        bad = [one["lost"] + one["twice"] for one in ours]
        rows.append(Row(f"{count:,} {words}: lost or twice", "files", "less", 0, bad, {}, None, note))
        rows.append(Row("durable", "files/s", "more", 20_000 if storm == "burst" else None, take(ours, "rate")))
    return [*rows, *_half_written(trials), *_known(trials), *_after_a_move(trials)]


def _half_written(trials: Trials) -> list[Row]:
    count = trials.setup.few(10_000, 800)
    (found,) = trials.beside(("files.partial", {"count": count}))
    note = f"{sum(take(found, 'handled')):,.0f} handlers; {sum(take(found, 'superseded')):,.0f} refused as overwritten"
    return [
        Row(f"{count:,} files written in four ways: seen half", "files", "less", 0, take(found, "partial"), {}, None,
            note),
        Row("the same: never seen whole", "files", "less", 0, take(found, "never_whole")),
    ]  # fmt: skip


def _known(trials: Trials) -> list[Row]:
    count = trials.setup.few(100_000, 5_000)
    (found,) = trials.beside(("files.restart", {"count": count}))
    return [
        Row(f"start with {count:,} new files", "s", "less", None, take(found, "first")),
        Row(f"start with {count:,} known files", "s", "less", 1, take(found, "ready")),
    ]


def _after_a_move(trials: Trials) -> list[Row]:
    samples = trials.setup.few(30, 10)
    names = ("triggers", "watchdog", "watchfiles")
    ours, *theirs = trials.beside(*(("files.after_a_move", {"samples": samples, "watcher": name}) for name in names))
    note = "; ".join(f"{name} {max(take(found, 'p50')):,.0f}" for name, found in zip(names[1:], theirs, strict=True))
    return [Row("file written after another is moved out, p50", "ms", "less", 10, take(ours, "p50"), {}, None, note)]


def patterns(trials: Trials) -> list[Row]:
    """Patterns: events a second, and verdicts that differ."""
    few = trials.setup.few
    (found,) = trials.beside(("patterns.rates", {"events": few(20_000, 2_000)}))
    cases = few(110_000, 5_000)
    verdicts = [trials.run("patterns.verdicts", cases=cases, seed=seed) for seed in range(trials.setup.runs)]

    def over(name: str) -> list[float]:
        return [one[f"{name}_many"] / one[f"{name}_few"] for one in found]

    return [
        Row("10 rules of ten operators", "events/s", "more", 100_000, take(found, "operators")),
        Row("10 exact rules", "events/s", "more", 100_000, take(found, "exact_few")),
        Row("10,000 exact rules, over 10", "", "more", 0.5, over("exact")),
        Row("10 rules of three conditions", "events/s", "more", 100_000, take(found, "three_few")),
        Row("10,000 rules of three conditions, over 10", "", "more", 0.1, over("three"), {}, None,
            f"{found[0]['three_many_matches']:.1f} of them match an event"),
        Row(f"{cases:,} verdicts by a second reading: different", "", "less", 0, take(verdicts, "readings")),
        Row(f"{cases:,} verdicts among 50 and alone: different", "", "less", 0, take(verdicts, "index")),
    ]  # fmt: skip


def sqs(trials: Trials) -> list[Row]:
    """Messages out of a queue."""
    count = trials.setup.few(20_000, 3_000)
    ours, bare = trials.beside(("sqs.ours", {"count": count}), ("sqs.bare", {"count": count}))
    shares = [a / b for a, b in zip(take(ours, "rate"), take(bare, "rate"), strict=True)]
    note = f"{median(take(bare, 'rate')):,.0f} messages/s received and deleted by aiobotocore alone"
    return [
        Row("messages out of a queue, durable and handled", "messages/s", "more", None, take(ours, "rate")),
        Row("the same, over a loop without a journal", "", "more", 0.7, shares, {}, None, note),
    ]


def serverless(trials: Trials) -> list[Row]:
    """What the Lambda entry costs."""
    few = trials.setup.few
    imported = trials.run("lambda_entry.imports", rounds=few(61, 5))
    silent, emitting = (
        trials.run("lambda_entry.warm", batches=few(3_000, 300), emits=emits) for emits in (False, True)
    )
    cold = trials.run("lambda_entry.cold", rounds=few(15, 3))
    over_pydantic = [a - b for a, b in zip(imported["entry"], imported["pydantic"], strict=True)]
    ready = [a - b for a, b in zip(imported["ready"], imported["pydantic"], strict=True)]
    over_bare = [a - b for a, b in zip(cold["entry"], cold["bare"], strict=True)]
    fastest = "the fastest tenth of the batches: {:.0f} us"
    return [
        Row("Lambda entry: import with an app, over one model", "ms", "less", 40, over_pydantic, {}, None,
            f"made ready for a first event: {median(ready):.0f} ms"),
        Row("Lambda entry: each record beside its handler", "us", "less", 80, [silent["median"]], {}, None,
            fastest.format(silent["fastest"])),
        Row("the same where it emits an event", "us", "less", None, [emitting["median"]], {}, None,
            fastest.format(emitting["fastest"])),
        Row("Lambda entry: cold start to the first result, over bare", "ms", "less", 80, over_bare, {}, None,
            f"bare {median(cold['bare']):.0f} ms"),
    ]  # fmt: skip


BENCHMARKS: dict[str, Benchmark] = {
    **COMPARED,
    "backlog": backlog,
    "timers": timers,
    "daylight": daylight,
    "patterns": patterns,
    "files": files,
    "sqs": sqs,
    "serverless": serverless,
    "scheduling": scheduling.rows,
    "forecasts": forecasts.rows,
    "adaptive": adaptive.rows,
}
