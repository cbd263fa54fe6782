"""The app and its places: where data comes in, and where the steps may write."""

from pathlib import Path

from triggers import App, Folder, Place

HOME = Path("demo")
"""The folder, in the current directory, that holds all places unless they are bound elsewhere."""
TIMEOUT = 60.0
"""Seconds for a step that computes. It takes a tenth of one; what takes a minute will never end. As any route with a
time-out it runs in a process of its own, which the next such step finds warm: scikit-learn is loaded once for all."""

app = App(
    "screening",
    sources=[Folder(str(HOME / "incoming"), name="incoming")],
    outputs=[
        Folder(str(HOME / "features"), name="features"),
        Folder(str(HOME / "models"), name="models"),
        Folder(str(HOME / "reports"), name="reports"),
    ],
)


def place(name: str, home: Path | str = HOME) -> Place:
    """Return a place below `home`, which is a folder or an `s3://` URI, for who is no handler."""
    return Place(f"{home}/{name}", name=name)
