"""An app as it is packed for Lambda."""

from __future__ import annotations

from triggers import App, Event


class Processed(Event):
    n: int


class Trained(Event):
    n: int


app = App("lambda")


@app.on(Processed)
def train(event: Processed) -> Trained:
    return Trained(n=event.n + 1)
