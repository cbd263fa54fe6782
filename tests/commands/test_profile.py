"""`triggers profile`: what runs used, beside what is declared."""

from __future__ import annotations

from tests.commands.conftest import Project

APP = """
from triggers import App, Downstream, Event

class Sized(Event):
    mib: int

app = App("churn", processes=1, resources={"gpu": 2}, downstreams={"api": Downstream(concurrency=2)})

@app.on(Sized, isolate=True, needs={"memory": "2GiB", "cpu": 1, "gpu": 2}, downstream="api")
def train(event: Sized) -> None:
    held = bytearray(b"x") * (event.mib << 20)

@app.on(Sized)
def counts(event: Sized) -> None: ...
@app.on(Sized)
def marks(event: Sized) -> None: ...
"""


def test_what_runs_used_is_shown_and_less_is_proposed_where_more_is_declared(project: Project) -> None:
    project.write("app.py", APP)
    project("send", "Sized", "-", "--state", str(project.state), input='{"mib": 60}\n' * 6)
    assert project("run", "app.py", "--drain").code == 0
    counts, _, train = project("profile", "--json").data
    assert train["declared"] == {"memory": 2**31, "cpu": 1.0, "gpu": 2.0, "downstream api": 1.0}
    (measured,) = train["measured"]
    assert measured["runs"] == 6
    assert 60 * 2**20 < measured["memory"]["p95"] < 130 * 2**20
    assert train["proposed"]["memory"].endswith("MiB")
    assert counts == {"route": "counts", "declared": {}, "measured": [], "proposed": None, "why": counts["why"]}
    text = project("profile").out
    said = "train: declared memory 2GiB, cpu 1, gpu 2, downstream api 1, proposed needs={"
    (proposed,) = (line.removeprefix(said) for line in text.splitlines() if line.startswith(said))
    assert "'gpu': 2}" in proposed
    assert "api" not in proposed
    assert "(by 6 runs only)" in text
    assert "\ncounts, marks: nothing declared (not measured in a thread; isolate=True" in text
    assert [one["route"] for one in project("profile", "--route", "train", "--json").data] == ["train"]
    assert "did you mean 'train'?" in project("profile", "--route", "trian").err
