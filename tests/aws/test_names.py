from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from triggers import App, RunFailed
from triggers.aws import names


def test_a_name_that_every_service_takes_is_kept() -> None:
    assert names.queue("churn", "train_model") == "churn-train_model"


def test_two_names_that_look_the_same_once_cleaned_stay_two() -> None:
    assert names.queue("churn", "a b") != names.queue("churn", "a.b")


def test_two_long_names_that_differ_at_their_ends_stay_two() -> None:
    assert names.queue("churn", "x" * 90 + "1") != names.queue("churn", "x" * 90 + "2")


def test_the_dead_letters_of_an_ordered_queue_are_ordered_too() -> None:
    assert names.dead_letters("churn-orders.fifo") == "churn-orders-dead.fifo"


def test_a_route_whose_runs_follow_one_another_has_an_ordered_queue_with_one_group() -> None:
    app = App("churn")

    @app.on(RunFailed)
    def many(event: RunFailed) -> None: ...

    @app.on(RunFailed, overlap="queue")
    def single(event: RunFailed) -> None: ...

    found = {name: (names.queue_of("churn", one), names.group_of(one)) for name, one in app.routes.items()}
    assert found == {"many": ("churn-many", None), "single": ("churn-single.fifo", "all")}


@given(st.text(min_size=1), st.text(min_size=1), st.booleans())
def test_every_name_is_one_that_the_services_take(app: str, route: str, fifo: bool) -> None:
    queue = names.queue(app, route, fifo=fifo)
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,80}(\.fifo)?", names.dead_letters(queue))
    assert len(names.dead_letters(queue)) <= 80
    for name in (names.function(app, route), names.rule(app, route), names.bus(app), names.table(app)):
        assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name)


@given(st.text(min_size=1))
def test_every_stack_name_begins_with_a_letter(app: str) -> None:
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,127}", names.stack(app))
