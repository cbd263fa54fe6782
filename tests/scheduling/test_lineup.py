"""What waits of a route whose runs have keys: the next ones are found without a look at each key."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from tests.scheduling.test_flows import A, handler
from triggers.options import make_policy
from triggers.routing import make_route
from triggers.scheduling.admission import Admission
from triggers.scheduling.flows import Head
from triggers.scheduling.lineup import Lineup
from triggers.scheduling.terms import Terms


class Queue:
    """Runs in their order."""

    def __init__(self, *numbers: int) -> None:
        self.heads = deque(Head(number, number, Terms(0.0)) for number in numbers)


def firsts(lanes: Sequence[Queue]) -> list[int]:
    return [lane.heads[0].number for lane in lanes]


def test_those_that_are_passed_over_keep_their_places_and_those_that_have_changed_lose_theirs() -> None:
    lanes = a, b, c = Queue(1, 4), Queue(2, 5), Queue(3)
    lineup: Lineup[Queue] = Lineup()
    for lane in lanes:
        lineup.put(lane)
    assert firsts(lineup.first(1, lambda lane: lane is not a)) == [2]
    b.heads.popleft()
    lineup.put(b)
    c.heads.popleft()
    lineup.put(c)
    assert firsts(lineup.first(9, lambda lane: True)) == [1, 5]
    a.heads.appendleft(Head(0, 0, Terms(0.0)))
    lineup.put(a)
    assert firsts(lineup.first(9, lambda lane: True)) == [0, 5]
    a.heads.popleft()
    lineup.put(a)
    assert firsts(lineup.first(9, lambda lane: True)) == [1, 5]


def admission(threads: int, **options: object) -> Admission:
    """Return an admission of one route whose runs have keys."""
    policy = make_policy("r", {"key": lambda event: None, **options})
    route = make_route(handler, A, name="r", where=None, source=None, policy=policy)
    made = Admission({"r": route}, {"thread": threads}, 600)
    made.flows["r"].ask()
    made.fill(made.flows["r"], [])
    return made


def wait(made: Admission, *runs: tuple[int, str, float]) -> None:
    """Have runs wait, each with its number, its key and its rank."""
    flow = made.flows["r"]
    for number, key, rank in runs:
        flow.add(Head(number, number, Terms(rank, key=key)))
    made.fill(flow, [])


def started(made: Admission) -> list[int]:
    return [head.number for _, head in made.choose(1e6).claims]


def test_of_a_thousand_keys_only_those_that_may_be_next_are_looked_at() -> None:
    made = admission(threads=3, per_key=1)
    wait(made, *((n, f"k{n % 1000}", 0) for n in range(3000)))
    assert started(made) == [0, 1, 2]
    assert len(made.holdings.capacity) == 1 + 3  # there is a bound for each key that was looked at


def test_a_key_whose_runs_are_at_work_is_passed_over_until_one_ends() -> None:
    made = admission(threads=2, per_key=1)
    wait(made, (1, "a", 0), (2, "a", 0), (3, "b", 0), (4, "a", 0), (5, "c", 0))
    assert started(made) == [1, 3]
    made.release(3)
    assert started(made) == [5]
    made.release(1)
    made.release(5)
    assert started(made) == [2]


def test_what_is_forgotten_starts_no_more_and_what_is_left_starts_once() -> None:
    made = admission(threads=9, per_key=1)
    wait(made, (1, "a", 0), (2, "a", 0), (3, "b", 0))
    made.flows["r"].forget([1])
    assert started(made) == [2, 3]


def test_of_a_key_of_which_a_run_is_to_be_tried_again_nothing_starts() -> None:
    made = admission(threads=9, overlap="queue")
    made.hold([("r", 7, "a")])
    wait(made, (1, "a", 0), (2, "b", 0))
    assert started(made) == [2]
    wait(made, (7, "a", -1))
    assert started(made) == [7]


def test_of_a_key_no_more_start_than_may_however_their_priorities_differ() -> None:
    made = admission(threads=2, per_key=1)
    for number in range(2):
        made.flows["r"].add(Head(number, number, Terms(-600 * number, number, "a")))
    made.fill(made.flows["r"], [])
    assert started(made) == [1]


ops = st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=30)


@given(ops, st.integers(1, 3), st.integers(1, 4))
def test_whatever_waits_and_ends_the_first_start_whose_keys_have_room(
    steps: list[tuple[str, int, int]], per_key: int, threads: int
) -> None:
    made = admission(threads, per_key=per_key)
    waiting: list[tuple[float, int, str]] = []
    running: dict[int, str] = {}
    for number, (key, rank, ends) in enumerate(steps):
        wait(made, (number, key, rank))
        waiting.append((rank, number, key))
        for run in list(running)[:ends]:
            made.release(run)
            del running[run]
        expected = []
        for one in sorted(waiting):
            if len(running) < threads and list(running.values()).count(one[2]) < per_key:
                running[one[1]] = one[2]
                expected.append(one[1])
                waiting.remove(one)
        assert started(made) == expected
    assert made.flows["r"].held == len(waiting)
