"""The virtual-time run: arrivals and ends in their order, and at each moment the decision of the very same policy."""

from __future__ import annotations

import math
from bisect import bisect
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence, Set
from copy import deepcopy
from dataclasses import dataclass, field
from heapq import heappop, heappush, merge
from itertools import islice, repeat, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING

from triggers.policy.fit import fit
from triggers.policy.order import dominant, order
from triggers.policy.shares import HALF_LIFE, Shares
from triggers.policy.standing import Kept, late
from triggers.policy.view import PATIENCE, Busy, Lane, Policy, Rank, View
from triggers.scheduling.holdings import put_off
from triggers.scheduling.pace import paces
from triggers.scheduling.terms import Terms
from triggers.simulate.predictors import Predictor, Quantiles, by_route
from triggers.simulate.workload import Job, JobError

if TYPE_CHECKING:  # which needs nothing that gates know
    from triggers.rate import Rate
    from triggers.scheduling.gates import Gate


@dataclass(frozen=True, slots=True)
class Rules:
    """How a machine decides."""

    policy: Policy = order
    kept: Callable[[View], Kept] = late
    predictor: Callable[[], Predictor] = Quantiles
    aging: float = 600.0
    patience: float = PATIENCE
    share: Callable[[Job], str] | None = None
    """Whom a job counts for; None is the same for all."""
    weights: Mapping[str, float] = field(default_factory=dict)
    half_life: float = HALF_LIFE
    """Seconds after which what a share has used counts for half."""
    had: Shares | None = None
    """What shares had before."""
    machine: Mapping[str, int] | None = None
    """What there is of each resource, where the capacity names limits beside: they are no part of the machine."""
    alike: Callable[[Job], Hashable] = by_route
    """What jobs must have in common to be of one lane, beside what they need and their priority."""
    of_keys: Set[str] = frozenset()
    """The resources that bound the runs of a key: a lane that lacks one of them is not seen by the policy."""
    lined_up: Set[str] = frozenset()
    """The routes whose lanes differ in their keys alone, and are seen as one; not those with a gate."""
    gates: Mapping[str, Sequence[Gate]] = field(default_factory=dict)
    """By route, what keeps its jobs from starting although there is room."""
    throttles: Mapping[str, Rate] = field(default_factory=dict)
    """By route, how many of its jobs, or of each key, may start in how many seconds."""
    counted: Sequence[tuple[str, str | None, float]] = ()
    """Starts from before that still count: of which route and key, and until when."""


@dataclass(slots=True)
class _Group:
    """Jobs that wait and are alike: those of one lane."""

    route: str
    needs: Mapping[str, int]
    priority: int
    share: str | None
    part: float
    waiting: deque[tuple[Rank, int]] = field(default_factory=deque)

    def add(self, rank: Rank, number: int) -> None:
        """Take a job; mostly it ranks last."""
        if not self.waiting or self.waiting[-1][0] < rank:
            self.waiting.append((rank, number))
        else:
            self.waiting.insert(bisect(self.waiting, (rank, number)), (rank, number))


@dataclass(slots=True)
class _Running:
    job: Job
    start: float
    until: float
    """When it is predicted to end; infinite is not known."""
    share: str | None
    part: float

    def busy(self, now: float) -> Busy:
        """Return what the policy knows of it; who has run for longer than predicted is put off."""
        if self.until <= now:
            self.until = put_off(self.start, now)
        return Busy(self.job.needs, self.until)


def simulate(jobs: Sequence[Job], capacity: Mapping[str, int], rules: Rules | None = None) -> list[float]:
    """Return when each job starts: infinity for one that expires before, NaN for one that never does.

    Raises `JobError` if one needs more than there is.
    """
    return Machine(jobs, capacity, rules or Rules()).run()


class Machine:
    """One run of a workload."""

    def __init__(self, jobs: Sequence[Job], capacity: Mapping[str, int], rules: Rules) -> None:
        for number, job in enumerate(jobs):
            _check(number, job, capacity)
        self.jobs = jobs
        self.capacity = capacity
        self.rules = rules
        self.free = dict(capacity)
        self.starts = [math.nan] * len(jobs)
        self._predictor = rules.predictor()
        self._gated = {*rules.gates, *rules.throttles}
        self._lined_up = rules.lined_up - self._gated
        self._paces = paces(rules.throttles, rules.counted)
        self._groups: dict[Hashable, _Group] = {}
        self._running: dict[int, _Running] = {}
        self._ends: list[tuple[float, int]] = []
        self._shares = deepcopy(rules.had) or Shares(rules.weights, rules.half_life)
        self._now = -math.inf
        self._reopens = math.inf
        """When the first gate opens that jobs wait behind."""
        self._fleeting: list[tuple[float, int, _Group]] = []
        """When what waits expires."""
        self._behind: defaultdict[int, list[int]] = defaultdict(list)
        """By a job, those that come after it."""
        for number, job in enumerate(jobs):
            if job.after is not None:
                self._behind[job.after].append(number)

    def run(self) -> list[float]:
        """Carry it out and return when each job starts."""
        moments = [_comes(job) for job in self.jobs]
        first = (number for number, job in enumerate(self.jobs) if job.after is None)
        coming = deque(sorted(first, key=lambda number: (moments[number], number)))
        while True:
            now = min(
                self._ends[0][0] if self._ends else math.inf,
                moments[coming[0]] if coming else math.inf,
                self._reopens,
            )
            if now == math.inf:  # what is left never ends, or waits for what never happens
                return self.starts
            self._now = now
            while self._ends and self._ends[0][0] <= now:
                self._end(*heappop(self._ends))
            while coming and moments[coming[0]] <= now:
                self._arrive(coming.popleft())
            while self._decide(now) and self._gated:  # when a gate opens is known once a first run waits behind it
                pass

    def _arrive(self, number: int) -> None:
        job = self.jobs[number]
        share = self.rules.share(job) if self.rules.share else None
        if job.begun is not None:
            self._begin(number, job.begun, self._predictor.predict(job).longest, share)
            return
        alike = (job.route, self.rules.alike(job), job.priority, share, tuple(job.needs.items()))
        group = self._groups.get(alike)
        if group is None:
            part = dominant(self.rules.machine or self.capacity, job.needs)
            group = self._groups[alike] = _Group(job.route, job.needs, job.priority, share, part)
        group.add(self._rank(number), number)
        if job.expires < math.inf:
            heappush(self._fleeting, (job.expires, number, group))

    def _rank(self, number: int) -> Rank:
        job = self.jobs[number]
        return job.arrival - self.rules.aging * job.priority, number

    def _end(self, now: float, number: int) -> None:
        ended = self._running.pop(number)
        job = ended.job
        self._shares.end(ended.share or "", ended.part, now)
        for name, amount in job.needs.items():
            self.free[name] += amount
        self._predictor.learn(job)
        self._follow(number)

    def _follow(self, number: int) -> None:
        """Let those arrive that come after a job which is over."""
        for later in self._behind.pop(number, ()):
            self._arrive(later)

    def _drop(self, now: float) -> None:
        """Drop those that have expired before they could start."""
        while self._fleeting and self._fleeting[0][0] <= now:
            _, number, group = heappop(self._fleeting)
            if math.isnan(self.starts[number]):
                group.waiting.remove((self._rank(number), number))
                self.starts[number] = math.inf
                self._follow(number)

    def _decide(self, now: float) -> bool:
        """Start what the policy chooses, and say whether anything was started."""
        self._reopens = math.inf
        self._drop(now)
        waiting = [group for group in self._groups.values() if group.waiting]
        if not waiting:
            self._groups.clear()
            return False
        groups = [group for group in waiting if self._open(now, group)]
        if not groups:
            return False
        shown = list(self._display(groups))
        view = self._view(now, [lane for _, lane in shown])
        chosen = fit(view, self.rules.policy(view), self.rules.kept)
        for index in chosen:
            behind, lane = shown[index]
            self._start(now, next(behind), lane.longest)
        return bool(chosen)

    def _display(self, groups: Sequence[_Group]) -> Iterator[tuple[Iterator[_Group], Lane]]:
        """Yield the lanes that are seen. What `Display` has of keys in more than one line holds here, too."""
        lines = self._lines(groups)
        bounds = Counter(name for line in lines for group in line for name in self.rules.of_keys & group.needs.keys())
        contested = {name for name, many in bounds.items() if many > 1}
        for line in lines:
            yield from ((repeat(one), self._lane(one)) for one in line if not contested.isdisjoint(one.needs))
            if others := [one for one in line if contested.isdisjoint(one.needs)]:
                yield self._shown(others)

    def _lines(self, groups: Sequence[_Group]) -> Sequence[Sequence[_Group]]:
        """Return the groups that the policy sees as one lane, which are most often one."""
        if not self._lined_up:
            return [[group] for group in groups]
        lines: dict[Hashable, list[_Group]] = {}
        for number, group in enumerate(groups):
            own = tuple(self._own(group).items())
            kind = (group.route, group.priority, group.share, own) if group.route in self._lined_up else number
            lines.setdefault(kind, []).append(group)
        return [queue for line in lines.values() for queue in self._queues(line)]

    def _queues(self, line: Sequence[_Group]) -> Sequence[Sequence[_Group]]:
        """Return the groups that come first, those with the next deadlines that can be met for themselves.

        It is `Display` that has it so.
        """
        if len(line) == 1:
            return [line]
        most, ranked = self._room(self._own(line[0])), sorted(line, key=lambda group: group.waiting[0])
        first = self.jobs[ranked[0].waiting[0][1]]
        if first.deadline is None:
            return [ranked[:most]]
        met = self._now + (self._predictor.predict(first)[0] or 0.0)
        until = [(_deadline(self.jobs[group.waiting[0][1]]), number) for number, group in enumerate(ranked)]
        due = {number for _, number in sorted(one for one in until if one[0] >= met)[:most]}
        others = [group for number, group in enumerate(ranked[:most]) if number not in due]
        return [queue for queue in ([ranked[number] for number in sorted(due)], others) if queue]

    def _own(self, group: _Group) -> Mapping[str, int]:
        """Return what a job of a group needs, whatever its key."""
        return {name: amount for name, amount in group.needs.items() if name not in self.rules.of_keys}

    def _shown(self, line: Sequence[_Group]) -> tuple[Iterator[_Group], Lane]:
        """Return the lane that is seen, and the groups that its first run, its second and so on are of."""
        if len(line) == 1 and line[0].needs.keys().isdisjoint(self.rules.of_keys):
            return repeat(line[0]), self._lane(line[0])
        first = min(line, key=lambda group: group.waiting[0])
        needs = self._own(first)
        each = [[(head, group) for head in islice(group.waiting, self._room(group.needs))] for group in line]
        heads = list(islice(merge(*each, key=itemgetter(0)), self._room(needs)))
        lane = self._lane(first)
        deadlines = [_deadline(self.jobs[number]) for (_, number), _ in heads] if lane.deadlines else ()
        lane = lane._replace(heads=[rank for (rank, _), _ in heads], needs=needs, deadlines=deadlines)
        return (group for _, group in heads), lane

    def _room(self, needs: Mapping[str, int]) -> int:
        """Return how many runs the policy is shown of those that are alike."""
        most, free = 1_000, self.free
        for name, need in needs.items():  # half as long as min() of a generator
            if need and (room := free[name] // need) < most:
                most = room
        return max(1, most)

    def _open(self, now: float, group: _Group) -> bool:
        """Say whether the policy is shown a group: its key is below its bound, and no gate is closed."""
        for name in self.rules.of_keys & group.needs.keys() if self.rules.of_keys else ():
            if self.free[name] < group.needs[name]:
                return False
        if group.route not in self._gated:
            return True
        until = self._shut(now, group.waiting[0][1])
        if until > now:
            self._reopens = min(self._reopens, until)
        return until <= now

    def _shut(self, now: float, number: int) -> float:
        """Return until when gates hold a job back; not after now where none does.

        The pace is asked first, being quick: where it is closed, the others are asked once it is open.
        """
        job = self.jobs[number]
        pace = self._paces.get(job.route)
        until = -math.inf if pace is None else pace.opens(job.key or None, now)
        if until > now or not (gates := self.rules.gates.get(job.route)):
            return until
        terms, longest = self._terms(number), self._predictor.predict(job).longest
        return max(closed.until if (closed := gate.closed(now, terms, longest)) else -math.inf for gate in gates)

    def _terms(self, number: int) -> Terms:
        job, (rank, _) = self.jobs[number], self._rank(number)
        return Terms(rank, job.priority, job.key or None, job.size or None, job.deadline)

    def _view(self, now: float, lanes: Sequence[Lane]) -> View:
        running = [one.busy(now) for one in self._running.values()]
        usage = self._shares.usage(now)
        return View(now, lanes, self.free, self.capacity, running, usage, self.rules.aging, self.rules.patience)

    def _lane(self, group: _Group) -> Lane:
        most = self._room(group.needs)
        first = self.jobs[group.waiting[0][1]]
        if group.route in self._paces:
            most = min(most, self._paces[group.route].room(first.key or None, self._now))
        heads = [group.waiting[0]] if most == 1 else list(islice(group.waiting, most))
        if group.route in self._gated:  # what is open for the first may be closed for a longer one
            heads = list(takewhile(lambda head: self._shut(self._now, head[1]) <= self._now, heads))
        expected, longest = self._predictor.predict(first)
        deadlines: list[float] = []
        if first.deadline is not None:
            deadlines = [_deadline(self.jobs[number]) for _, number in heads]
        ranks = [rank for rank, _ in heads]
        return Lane(ranks, group.needs, group.priority, expected, longest, deadlines, group.share, group.part)

    def _start(self, now: float, group: _Group, longest: float | None) -> None:
        _, number = group.waiting.popleft()
        self._begin(number, now, longest, group.share)

    def _begin(self, number: int, now: float, longest: float | None, share: str | None) -> None:
        job = self.jobs[number]
        self.starts[number] = now
        if job.route in self._paces and job.begun is None:
            self._paces[job.route].start(job.key or None, now)
        for name, amount in job.needs.items():
            self.free[name] -= amount
        part = dominant(self.rules.machine or self.capacity, job.needs)
        self._running[number] = _Running(job, now, math.inf if longest is None else now + longest, share, part)
        self._shares.begin(share or "", part, now)
        heappush(self._ends, (now + job.seconds, number))


def _check(number: int, job: Job, capacity: Mapping[str, int]) -> None:
    for name, amount in job.needs.items():
        if amount > capacity.get(name, 0) and job.begun is None:
            raise JobError(
                f"job {number} of {job.route!r} needs {amount / 1e6:g} {name}, the machine has "
                f"{capacity.get(name, 0) / 1e6:g}; give it more (--capacity), or leave the job out"
            )


def _comes(job: Job) -> float:
    """Return from when on a job counts: among those that wait, or as one that runs."""
    return max(job.arrival, job.ready) if job.begun is None else job.begun


def _deadline(job: Job) -> float:
    return math.inf if job.deadline is None else job.deadline
