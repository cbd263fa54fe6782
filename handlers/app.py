"""The app and its places: where data comes in, and the folders that the steps may write to."""

from pathlib import Path

from triggers import App, Folder

HOME = Path("demo")
"""The folder, in the current directory, that holds all places unless they are bound elsewhere."""

app = App(
    "screening",
    sources=[Folder(str(HOME / "incoming"), name="incoming")],
    outputs=[
        Folder(str(HOME / "features"), name="features"),
        Folder(str(HOME / "models"), name="models"),
        Folder(str(HOME / "reports"), name="reports"),
    ],
)
