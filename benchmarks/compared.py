"""The figures that are taken beside huey and DBOS, each by its best setting: what `make bench` takes."""

from __future__ import annotations

from typing import Any

from benchmarks.measure import Benchmark, Row, Trials, Variant, take
from benchmarks.workload import BATCH

HUEY_WORKERS = (1, 4, 32)
TUNED = {"workers": 32, "delay": 0.005, "max_delay": 0.005}
"""huey polls; so often that its latency is near its best, at the price of processor time when idle."""
POLLS_BY_DEFAULT = {"workers": 32, "delay": 0.1, "max_delay": 10.0}
DBOS_POLLS = (0.005, 1.0)
"""Seconds: as often as huey here, and by default."""


def events(trials: Trials) -> list[Row]:
    """Durable events in one process, and handed in by another."""
    few = trials.setup.few
    count, huey_count = few(40_000, 4_000), few(4_000, 400)
    ours = trials.best(_windows("throughput.triggers_events", count), "rate", count=few(10_000, 2_000))
    huey = trials.best(_huey(huey_count, "handle"), "rate", count=few(1_000, 200))
    dbos = trials.best(_dbos(few(1_500, 100), "handle"), "rate", count=few(300, 40))
    sent: Variant = ("throughput.triggers_sent", {"count": count})
    a, b, c, d = trials.beside(ours, huey, dbos, sent)
    peers = {"huey": take(b, "rate"), "dbos": take(c, "rate")}
    note = _note(ours, huey, dbos)
    return [
        Row("durable events, one process", "events/s", "more", 25_000, take(a, "rate"), peers, 12, note),
        Row("the same until the last handler starts", "events/s", "more", None, take(a, "start_rate"), peers),
        Row("durable events from another process", "events/s", "more", 15_000, take(d, "rate"), peers),
    ]


def chains(trials: Trials) -> list[Row]:
    """Chains of three handlers."""
    few = trials.setup.few
    count, huey_count = few(15_000, 2_000), few(1_500, 150)
    ours = trials.best(_windows("throughput.triggers_chains", count), "rate", count=few(4_000, 1_000))
    huey = trials.best(_huey(huey_count, "one"), "rate", count=few(400, 80))
    dbos = trials.best(_dbos(few(300, 40), "chain"), "rate", count=few(100, 20))
    a, b, c = trials.beside(ours, huey, dbos)
    peers = {"huey": take(b, "rate"), "dbos": take(c, "rate")}
    note = _note(ours, huey, dbos)
    return [Row("chains of three handlers", "chains/s", "more", 8_000, take(a, "rate"), peers, None, note)]


def latency(trials: Trials) -> list[Row]:
    """One event on an idle app."""
    samples, fewer = trials.setup.few(200, 40), trials.setup.few(60, 10)
    append, sent, file, tuned, default, started, dbos_sent = trials.beside(
        ("latency.triggers_append", {"samples": samples}),
        ("latency.triggers_sent", {"samples": samples}),
        ("latency.triggers_file", {"samples": samples}),
        ("latency.huey_append", {"samples": samples, **TUNED}),
        ("latency.huey_append", {"samples": samples, **POLLS_BY_DEFAULT}),
        ("dbos_peer.started", {"samples": samples}),
        ("dbos_peer.sent", {"samples": fewer}),
    )
    rows = []
    for key, bound, file_bound in (("p50", 2.0, 2.5), ("p99", 10.0, 10.0)):
        huey = take(tuned, key)
        rows += [
            Row(f"sent to handler start, {key}", "ms", "less", bound, take(append, key),
                {"huey": huey, "dbos": take(started, key)}, None,
                "huey: 32 threads polling every 5 ms; DBOS: started in its own process"),
            Row(f"sent by another process, {key}", "ms", "less", bound, take(sent, key),
                {"huey": huey, "dbos": take(dbos_sent, key)}, None, "DBOS: its queue polled every 5 ms"),
            Row(f"file closed to handler start, {key}", "ms", "less", file_bound, take(file, key)),
            Row(f"against huey's default polling, {key}", "ms", "less", None, take(append, key),
                {"huey": take(default, key)}),
        ]  # fmt: skip
    return rows


def blocking(trials: Trials) -> list[Row]:
    """1,000 blocking handlers of 20 ms, 32 at a time."""
    few = trials.setup.few
    count, key = few(1000, 320), "share"
    huey = trials.best([("blocking.huey", {"count": count, "before": before}) for before in (False, True)], key)
    ways: list[Variant] = [
        ("dbos_peer.blocking", {"count": count, "workers": 32, "way": way, "seconds": 0.02})
        for way in ("start", "batches")
    ]
    dbos = trials.best(ways, key, count=few(200, 64))
    a, b, c = trials.beside(("blocking.triggers", {"count": count}), huey, dbos)
    note = f"huey: {'filled before the clock starts' if huey[1]['before'] else 'live'}; DBOS: {dbos[1]['way']}"
    peers = {"huey": take(b, key), "dbos": take(c, key)}
    return [Row("blocking handlers, share of the ideal", "", "more", 0.88, take(a, key), peers, None, note)]


def recovery(trials: Trials) -> list[Row]:
    """kill -9, restart, and the first handler's start."""
    rounds = max(1, trials.setup.few(6, 3) // trials.setup.runs)
    found: dict[str, list[dict[str, Any]]] = {"triggers": [], "huey": [], "dbos": []}
    for _ in range(rounds):
        every = trials.beside(("recovery.triggers", {}), ("recovery.huey", {}), ("dbos_peer.crash", {}))
        for results, new in zip(found.values(), every, strict=True):
            results += new
    seconds = {side: take(results, "seconds") for side, results in found.items()}
    lost = {side: _losses(results) for side, results in found.items()}
    note = f"cut short or lost in {len(lost['huey'])} kills: " + ", ".join(f"{s} {sum(n):.0f}" for s, n in lost.items())
    return [
        Row(
            "restart after kill -9 to the first handler", "s", "less", 0.5, seconds.pop("triggers"), seconds, None, note
        ),
        Row("runs lost to the kill", "runs", "less", 0, lost.pop("triggers"), lost),
    ]


def startup(trials: Trials) -> list[Row]:
    """What a fresh process pays."""
    found = trials.run("startup.wall", rounds=trials.setup.few(21, 5))

    def over(side: str, less: str) -> list[float]:
        return [a - b for a, b in zip(found[side], found[less], strict=True)]

    peers = {side: over(side, "bare") for side in ("huey", "dbos")}
    return [
        Row("import triggers, over pydantic", "ms", "less", 30, over("triggers", "pydantic")),
        Row("import triggers with pydantic", "ms", "less", None, over("triggers", "bare"), peers),
        Row("triggers --version", "ms", "less", 150, found["version"], {"huey": found["huey_help"]}, None,
            "huey: huey_consumer --help"),
    ]  # fmt: skip


def idle(trials: Trials) -> list[Row]:
    """An app that does nothing."""
    seconds = trials.setup.few(10, 5)
    ours, often, default, dbos_often, dbos_default = trials.beside(
        ("resources.triggers_idle", {"seconds": seconds}),
        ("resources.huey_idle", {"seconds": seconds, "delay": TUNED["delay"], "max_delay": TUNED["max_delay"]}),
        ("resources.huey_idle", {"seconds": seconds, "delay": 0.1, "max_delay": 10.0}),
        *(("dbos_peer.idle", {"seconds": seconds, "poll": poll}) for poll in DBOS_POLLS),
    )
    cpu, rss = take(ours, "cpu"), take(ours, "rss")
    return [
        Row("idle processor time", "%", "less", 0.5, cpu, {"huey": take(often, "cpu"), "dbos": take(dbos_often, "cpu")},
            None, "the peers: polling every 5 ms, as for their latency"),
        Row("idle processor time, peers by default", "%", "less", None, cpu,
            {"huey": take(default, "cpu"), "dbos": take(dbos_default, "cpu")}),
        Row("idle memory, resident", "MB", "less", 60, rss,
            {"huey": take(often, "rss"), "dbos": take(dbos_often, "rss")}),
    ]  # fmt: skip


COMPARED: dict[str, Benchmark] = {
    "events": events,
    "chains": chains,
    "latency": latency,
    "blocking": blocking,
    "recovery": recovery,
    "startup": startup,
    "idle": idle,
}


def _windows(name: str, count: int) -> list[Variant]:
    """Return a variant for each number of batches that the sender has under way."""
    return [(name, {"count": count, "in_flight": window}) for window in (1, 2, 4)]


def _huey(count: int, task: str) -> list[Variant]:
    """Return all ways in which huey may be used here; its best one counts."""
    return [
        ("throughput.huey_rate", {"count": count, "workers": workers, "producer": producer, "task": task})
        for producer in ("process", "thread", "before")
        for workers in HUEY_WORKERS
    ]


def _dbos(count: int, task: str) -> list[Variant]:
    """Return all ways in which DBOS may be used here; its best one counts. The first is as it ships."""
    ways = [("call", 1, "delete"), ("call", 1, "wal")]
    ways += [(way, workers, "wal") for way in ("start", "batches") for workers in (4, 32)]
    return [
        ("dbos_peer.rate", {"count": count, "way": way, "workers": workers, "journal": journal, "task": task})
        for way, workers, journal in ways
    ]


def _note(ours: Variant, huey: Variant, dbos: Variant) -> str:
    place = {"process": "sent by a process", "thread": "sent by a thread", "before": "sent before it starts"}
    ways = {
        "call": "called by a thread",
        "start": "started by a thread",
        "batches": "500 in a transaction by a process",
    }
    return (
        f"triggers: {ours[1]['in_flight']} batches of {BATCH} under way; "
        f"huey: {huey[1]['workers']} threads, {place[huey[1]['producer']]}; "
        f"DBOS: {dbos[1]['workers']} threads, {ways[dbos[1]['way']]}, journal mode {dbos[1]['journal']}"
    )


def _losses(results: list[dict[str, float]]) -> list[float]:
    return [one["never_started"] + one["cut_short_and_not_started_again"] for one in results]
