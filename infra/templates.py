"""Make the templates of the reference pipeline: `python -m infra.templates`, which `make templates` does."""

from __future__ import annotations

from pathlib import Path

from handlers import app
from triggers.aws.template import polled, render, text

HERE = Path(__file__).parent
PLACES = {name: f"s3://screening-data/{name}" for name in ("incoming", "features", "models", "reports")}
"""Where the pipeline's places are. Change it to your own bucket, and make the templates again."""


def templates() -> dict[str, str]:
    """Return the files by their names."""
    return {
        "functions.json": text(render(app, "handlers:app", PLACES)),
        "polled.json": text(polled(app, PLACES)),
    }


def main() -> None:
    """Write the files."""
    for name, content in templates().items():
        (HERE / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
