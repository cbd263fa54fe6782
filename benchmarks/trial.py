"""One trial in a process of its own: `python -m benchmarks.trial MODULE.FUNCTION '{"arguments": 1}'`."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import sys
from importlib import import_module
from pathlib import Path


def main(name: str, text: str) -> None:
    """Carry out one trial and print its result as a line of JSON."""
    logging.basicConfig(level=logging.ERROR)
    module, _, function = name.partition(".")
    arguments = json.loads(text)
    arguments["folder"] = Path(arguments["folder"])
    result = getattr(import_module(f"benchmarks.{module}"), function)(**arguments)
    if inspect.iscoroutine(result):
        result = asyncio.run(result)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
