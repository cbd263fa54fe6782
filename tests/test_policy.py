from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triggers.policy import View, choose


def flow(*numbers: int, priority: int = 0, room: int = 100, **needs: float) -> View:
    return View([(-priority, number) for number in numbers], room, needs)


def test_the_higher_priority_starts_first_then_the_older_run() -> None:
    flows = [flow(1, 4, slot=1), flow(2, 3, slot=1), flow(9, priority=5, slot=1)]
    assert choose(flows, {"slot": 10}) == [2, 0, 1, 1, 0]


def test_nothing_starts_without_its_needs() -> None:
    assert choose([flow(1, gpu=1)], {"slot": 9}) == []
    assert choose([flow(1, gpu=2)], {"gpu": 1.5}) == []
    assert choose([flow(1, gpu=2)], {"gpu": 2}) == [0]


def test_a_flow_starts_no_more_runs_than_it_has_room_for() -> None:
    assert choose([flow(1, 2, 3, room=2, slot=1)], {"slot": 9}) == [0, 0]
    assert choose([flow(1, room=0, slot=1)], {"slot": 9}) == []
    assert choose([flow(1, room=-1, slot=1)], {"slot": 9}) == []


def test_a_small_run_never_overtakes_a_large_one_for_what_the_large_one_waits_for() -> None:
    large, small = flow(1, cpu=4), flow(2, 3, 4, cpu=1)
    assert choose([large, small], {"cpu": 3}) == []
    assert choose([large, small], {"cpu": 6}) == [0, 1, 1]


def test_who_needs_nothing_of_what_is_short_goes_on() -> None:
    large, small = flow(1, gpu=1, slot=1), flow(2, 3, slot=1)
    assert choose([large, small], {"gpu": 0, "slot": 3}) == [1, 1]  # one slot is kept for the large one


def test_what_is_kept_for_a_waiting_run_is_its_own_need_and_no_more() -> None:
    waits, other = flow(1, gpu=1, memory=4), flow(2, 3, memory=3)
    assert choose([waits, other], {"gpu": 0, "memory": 8}) == [1]


def test_a_better_ranked_run_of_a_worse_flow_does_not_wait_for_a_short_one_behind_it() -> None:
    assert choose([flow(5, gpu=1), flow(1, slot=1)], {"gpu": 0, "slot": 1}) == [1]


needs = st.dictionaries(st.sampled_from("abc"), st.integers(1, 5).map(float), max_size=3)
flows = st.lists(
    st.builds(
        lambda start, count, rank, room, need: View([(-rank, start + 10 * n) for n in range(count)], room, need),
        st.integers(0, 9), st.integers(0, 6), st.integers(-2, 2), st.integers(-1, 6), needs,
    ),
    max_size=6,
)  # fmt: skip
capacities = st.fixed_dictionaries({name: st.integers(0, 12).map(float) for name in "abc"})


@given(flows, capacities)
def test_what_is_chosen_fits_and_no_flow_exceeds_its_room(flows: list[View], free: dict[str, float]) -> None:
    chosen = choose(flows, free)
    for name, amount in free.items():
        assert sum(flows[index].needs.get(name, 0) for index in chosen) <= amount
    for index, view in enumerate(flows):
        assert chosen.count(index) <= min(max(0, view.room), len(view.heads))


@given(flows, capacities)
def test_the_best_ranked_run_that_fits_the_machine_starts_once_all_is_free(
    flows: list[View], free: dict[str, float]
) -> None:
    open_flows = [(view.heads[0], index) for index, view in enumerate(flows) if view.heads and view.room > 0]
    if open_flows:
        best = min(open_flows)[1]
        fits = all(free[name] >= amount for name, amount in flows[best].needs.items())
        assert (choose(flows, free)[:1] == [best]) == fits


@given(flows, capacities)
def test_the_choice_keeps_to_the_order_of_rank_within_equal_needs(flows: list[View], free: dict[str, float]) -> None:
    same = [View(view.heads, view.room, {"a": 1.0}) for view in flows]
    taken = [0] * len(same)
    ranks = []
    for index in choose(same, free):
        ranks.append(same[index].heads[taken[index]])
        taken[index] += 1
    assert ranks == sorted(ranks)


@given(flows, capacities)
def test_the_same_view_always_gives_the_same_choice(flows: list[View], free: dict[str, float]) -> None:
    before = dict(free)
    assert choose(flows, free) == choose(flows, free)
    assert free == before
