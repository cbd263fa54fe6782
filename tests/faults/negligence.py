"""More mistakes that an engine can have: of what routes declare of rates, shares, time and absence, of pauses, and of
what rows tell of attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.faults.storm import Replacements
from triggers import awaited
from triggers import dispatcher as dispatching
from triggers.attempt import Run
from triggers.faults.life import SimulatedExecutor
from triggers.gathering import Gathering
from triggers.journal import arrivals, change, counted, journal, punctuality
from triggers.journal.change import SettleRow
from triggers.policy import Shares
from triggers.routing import PROCESS
from triggers.scheduling import claims
from triggers.scheduling.admission import Admission
from triggers.scheduling.claims import Claims
from triggers.scheduling.displaced import Displaced
from triggers.scheduling.display import Display
from triggers.scheduling.flows import Flow
from triggers.scheduling.pauses import Pauses
from triggers.scheduling.punctuality import Punctuality
from triggers.scheduling.sharing import Sharing
from triggers.sources.absence import AbsenceWatch


def limits_forgotten_at_the_start() -> Replacements:
    """How many runs a limited route has taken in is not known to the process after."""
    take_over = journal._take_over

    def afresh(connection: Any, clock: Any) -> tuple[str, int, int]:
        connection.execute("DELETE FROM counted WHERE rate = 'rate_limit'")
        return take_over(connection, clock)

    return {(journal, "_take_over"): afresh}


def duplicates_use_up_the_rate() -> Replacements:
    """What was delivered before is counted as taken in."""

    def all_of_them(connection: Any, runs: Sequence[int]) -> list[tuple[int, None]]:
        return [(run, None) for run in runs]

    arrived = counted._ARRIVED.replace("SELECT recorded", "SELECT ifnull(max(recorded), unixepoch())")
    return {(counted, "inserted"): all_of_them, (counted, "_ARRIVED"): arrived}


def drops_leave_no_row() -> Replacements:
    return {(counted, "DROP"): "DELETE FROM run WHERE ?1 AND ?2 IS NOT NULL AND number = ?3"}


def drops_stay_open() -> Replacements:
    """What was dropped goes on to count as open, so that one day the sources are not asked for more."""
    drop = Displaced.drop

    def kept(self: Displaced, flow: Any, verdict: Any) -> None:
        before = self._journal.open_runs
        drop(self, flow, verdict)
        self._journal.open_runs = before

    return {(Displaced, "drop"): kept}


def arrivals_kept_in_memory() -> Replacements:
    """When the last of the expected events came is not written down."""
    return {(arrivals, "_NOTE"): "SELECT ?1, ?2, ?3"}


def duplicates_count_as_arrivals() -> Replacements:
    """An event that was delivered before is taken for one that has come."""

    see = awaited.Awaited.see

    def come(self: awaited.Awaited, event: Any) -> None:
        see(self, event)
        self.last.update(dict.fromkeys(self._new, event.recorded))

    return {(awaited.Awaited, "see"): come}


def absence_told_again() -> Replacements:
    """A process does not know what the one before it has told, nor has what is missing an identity."""
    begin, missing = AbsenceWatch._begin, AbsenceWatch._missing

    async def begin_afresh(self: AbsenceWatch, site: Any) -> None:
        await begin(self, site)
        self._told = {}

    def nameless(self: AbsenceWatch, name: str, absence: Any) -> Any:
        found = missing(self, name, absence)
        found.id, found.memory = f"{found.id} {id(self)}", None
        return found

    return {(AbsenceWatch, "_begin"): begin_afresh, (AbsenceWatch, "_missing"): nameless}


def pauses_forgotten_at_the_start() -> Replacements:
    return {(dispatching, "paused_routes"): lambda connection: {}}


def pauses_that_come_too_late() -> Replacements:
    """What was claimed while the pause was being written down starts."""
    return {(Claims, "_hold_back"): lambda self, turn: None}


def app_paused_in_vain() -> Replacements:
    """A pause of the whole app is taken for one of a route that there is not."""
    return {(Pauses, "of"): lambda self, route: self.known.get(route)}


def resumed_to_nobody() -> Replacements:
    """What was paused is let go, and nobody looks at what waits."""
    bar = Admission.bar

    def unseen(self: Admission, gates: Any) -> None:
        clear, shut = self._clear, self._shut
        bar(self, gates)
        if not gates:
            self._clear, self._shut = clear or shut, shut

    return {(Admission, "bar"): unseen}


def shares_not_given_back() -> Replacements:
    """A run that ends goes on to count for its share."""
    return {(Sharing, "end"): lambda self, run: None}


def room_for_keys_overlooked() -> Replacements:
    """What was seen of the keys of a route stands although one of them has room again."""
    return {(Display, "_reopen"): lambda self: self._holdings.opened.clear()}


def weights_ignored() -> Replacements:
    usage = Shares.usage
    return {(Shares, "usage"): lambda self, now, names: usage(Shares({}, self.half_life, self._standings), now, names)}


def windows_not_asked_of_the_new() -> Replacements:
    """A run that comes when nothing waits starts at once, whatever its gates say."""
    return {(Flow, "free"): lambda self: True}


def delays_kept_in_memory() -> Replacements:
    """A run that must not start yet is written down as one that waits."""
    return {(punctuality, "_POSTPONE"): punctuality._POSTPONE.replace("SET due", "SET state = 0, due")}


def the_begun_expire() -> Replacements:
    """A run that waits for its next attempt expires as one that has not started."""
    return {(punctuality, "_EXPIRE"): punctuality._EXPIRE.replace("AND started IS NULL", "")}


def expiry_forgotten_at_the_start() -> Replacements:
    """What expires is dropped by the process that took it in, or never."""
    look = Punctuality.look

    def unless_first(self: Punctuality) -> None:
        if self._clock.now() and vars(self._journal).setdefault("looked", False):
            look(self)
        vars(self._journal)["looked"] = True

    return {(Punctuality, "look"): unless_first}


def claimed_although_expired() -> Replacements:
    expired = "AND (expires IS NULL OR expires > :at OR started IS NOT NULL)"
    late = {(change, name): getattr(change, name).replace(expired, "") for name in ("_GONE", "_CLAIM")}
    return {**late, (claims.Terms, "expired"): lambda self, now: False}


def failed_events_forgotten() -> Replacements:
    """Of a batch that was done in part, nobody tries what failed."""
    return {(Gathering, "split"): lambda self, run, failed: []}


def isolated_runs_start_twice() -> Replacements:
    """A run whose attempt need not count begins that attempt twice in one process."""
    start = SimulatedExecutor.start

    def twice(self: SimulatedExecutor, run: Run) -> None:
        for _ in range(2 if run.route.kind == PROCESS else 1):
            start(self, run)

    return {(SimulatedExecutor, "start"): twice}


def interruptions_untold() -> Replacements:
    """Nobody writes down that a process died in an attempt."""
    return {(change, "_INTERRUPTED"): "SELECT :runs, :epoch"}


def errors_that_stay() -> Replacements:
    """A run that ended well goes on to show what an earlier attempt had failed with."""
    return {(change, "_CLAIM"): change._CLAIM.replace(", error = NULL", "")}


def checkpoints_left_behind() -> Replacements:
    return {(change, "_OVER"): "SELECT :runs"}


def put_off_too_briefly() -> Replacements:
    settled = dispatching.settled

    def soon(run: Run, outcome: Any, epoch: int, wall: float, monotonic: float) -> SettleRow:
        row = settled(run, outcome, epoch, wall, monotonic)
        return row if row.due is None else row._replace(due=(row.due + monotonic) / 2)

    return {(dispatching, "settled"): soon}


MISTAKES = (
    limits_forgotten_at_the_start, duplicates_use_up_the_rate, drops_leave_no_row, drops_stay_open,
    arrivals_kept_in_memory, duplicates_count_as_arrivals, absence_told_again, pauses_forgotten_at_the_start,
    pauses_that_come_too_late, app_paused_in_vain, resumed_to_nobody,
    shares_not_given_back, room_for_keys_overlooked, weights_ignored, windows_not_asked_of_the_new,
    delays_kept_in_memory, the_begun_expire, expiry_forgotten_at_the_start, claimed_although_expired,
    failed_events_forgotten, isolated_runs_start_twice, interruptions_untold, errors_that_stay,
    checkpoints_left_behind, put_off_too_briefly,
)  # fmt: skip
