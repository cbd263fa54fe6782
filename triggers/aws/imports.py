"""What Python files import, found by reading them: which files a function needs, without running any.

Imports at the top of a file are needed when it is loaded. Those in functions, and those in a `try` that survives their
failure, may be needed later. Imports for type checkers alone are not looked at.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_SURVIVED: Final = {"ImportError", "ModuleNotFoundError", "Exception"}
STANDARD: Final = sys.stdlib_module_names


@dataclass(slots=True)
class Module:
    """A file, and the modules that it imports: `first` when it is loaded, `later` perhaps.

    `from a import b` counts as `a` and as `a.b`, which may be a module or not.
    """

    file: Path
    first: set[str] = field(default_factory=set)
    later: set[str] = field(default_factory=set)


def locate(folder: Path, name: str) -> Path | None:
    """Return the file of a module that lies below a folder, None where there is none."""
    place = folder.joinpath(*name.split("."))
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if file.is_file():
            return file
    return None


def read(folder: Path, roots: Iterable[str]) -> dict[str, Module]:
    """Return the modules below a folder that the roots lead to, first or later, by their names."""
    found: dict[str, Module] = {}
    left = list(roots)
    while left:
        name = left.pop()
        file = None if name in found else locate(folder, name)
        if file is None:
            continue
        found[name] = module = _parse(file, name)
        left += [*_parents(name), *module.first, *module.later]
    return found


def reached(modules: Mapping[str, Module], roots: Iterable[str], *, later: bool = True) -> set[str]:
    """Return the names of those modules that the roots lead to; without `later`, those loaded with the roots."""
    found: set[str] = set()
    left = list(roots)
    while left:
        name = left.pop()
        if name in found or name not in modules:
            continue
        found.add(name)
        left += [*_parents(name), *modules[name].first, *(modules[name].later if later else ())]
    return found


def loadable(modules: Mapping[str, Module], is_there: Callable[[str], bool]) -> dict[str, Module]:
    """Return the modules that can be loaded where of all other packages only those exist that `is_there` says."""
    kept = {name: one for name, one in modules.items() if all(map(is_there, others(modules, one.first)))}
    while True:
        gone = {name for name, one in kept.items() if _needs(modules, name, one) - kept.keys()}
        if not gone:
            return kept
        kept = {name: one for name, one in kept.items() if name not in gone}


def others(modules: Mapping[str, Module], names: Iterable[str]) -> set[str]:
    """Return the packages, by their first names, that are neither among the modules nor Python's own."""
    own = {name.split(".")[0] for name in modules}
    return {name.split(".")[0] for name in names} - own - STANDARD


def _needs(modules: Mapping[str, Module], name: str, module: Module) -> set[str]:
    return {one for one in module.first if one in modules} | set(_parents(name))


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def _parse(file: Path, name: str) -> Module:
    module = Module(file)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    _Reader(module, package).visit(ast.parse(file.read_bytes(), str(file)))
    for names in (module.first, module.later):
        names.update([parent for one in names for parent in _parents(one)])
    return module


class _Reader(ast.NodeVisitor):
    """Sorts a file's imports."""

    def __init__(self, module: Module, package: str) -> None:
        self._names = module.first
        self._later = module.later
        self._package = package

    def visit_Import(self, node: ast.Import) -> None:
        self._names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        base = node.module or ""
        if node.level:
            start = self._package.split(".")
            base = ".".join([*start[: len(start) - node.level + 1], *([base] if base else [])])
        names = [f"{base}.{alias.name}".strip(".") for alias in node.names if alias.name != "*"]
        self._names.update([base, *names] if base else names)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._perhaps(node.body)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Try(self, node: ast.Try) -> None:
        survived = any(_survives(handler.type) for handler in node.handlers)
        (self._perhaps if survived else self._surely)(node.body)
        self._surely([*node.handlers, *node.orelse, *node.finalbody])

    def visit_If(self, node: ast.If) -> None:
        if _name(node.test) != "TYPE_CHECKING":
            self._surely(node.body)
        self._surely(node.orelse)

    def _surely(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    def _perhaps(self, nodes: Iterable[ast.AST]) -> None:
        before, self._names = self._names, self._later
        self._surely(nodes)
        self._names = before


def _survives(caught: ast.expr | None) -> bool:
    return caught is None or bool({_name(one) for one in _alternatives(caught)} & _SURVIVED)


def _alternatives(caught: ast.expr) -> Iterator[ast.expr]:
    if isinstance(caught, ast.Tuple):
        yield from caught.elts
    else:
        yield caught


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


__all__ = ["STANDARD", "Module", "loadable", "locate", "others", "reached", "read"]
