"""A test that `export-test` wrote, in the hands of another one."""

from __future__ import annotations

import ast
import runpy
from collections.abc import Callable
from pathlib import Path

from triggers.testing import Harness

Make = Callable[..., Harness]


class Exported:
    """What was written: its text, and whether it passes."""

    def __init__(self, file: Path, harness: Make) -> None:
        self.text = file.read_text()
        self._harness = harness
        [self._test] = [value for name, value in runpy.run_path(str(file)).items() if name.startswith("test_")]

    def passes(self) -> bool:
        try:
            self._test(self._harness)
        except AssertionError:
            return False
        return True


def statements(exported: Exported) -> list[str]:
    """Return what a test does, a statement to a line."""
    tree = ast.parse(exported.text)
    [function] = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return [ast.unparse(node) for node in function.body[1:]]
