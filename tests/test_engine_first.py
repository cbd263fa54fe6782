from triggers import App, Context, Event, Folder, Later, ObjectCreated, Reject, Retry, RunFailed, Tick, every, suffix


class Processed(Event):
    key: str


class Trained(Event):
    key: str


def make() -> App:
    app = App("first", sources=[Folder("incoming")])

    @app.on(ObjectCreated, where={"key": suffix(".csv")})
    def process(event: ObjectCreated) -> Processed:
        assert event.path().read_text() == "x"
        return Processed(key=event.key)

    @app.on(Processed, retry=Retry(attempts=2))
    async def train(event: Processed, ctx: Context) -> Trained:
        if ctx.attempt == 1:
            raise OSError("not yet")
        return Trained(key=event.key)

    return app


def test_a_dropped_file_goes_down_the_chain(harness):
    pipeline = harness(make())
    pipeline.drop("incoming", "a.csv", "x")
    pipeline.drop("incoming", "a.txt", "x")
    assert pipeline.events(Processed) == [Processed(key="a.csv")]
    assert pipeline.events(Trained) == []
    pipeline.advance(minutes=2)
    assert pipeline.events(Trained) == [Trained(key="a.csv")]


def test_a_month_of_ticks(harness):
    app = App("ticks")

    @app.on(every(minutes=5))
    async def tick(event: Tick) -> None: ...

    pipeline = harness(app)
    pipeline.advance(days=30)
    assert len(pipeline.events(Tick)) == 30 * 24 * 12
