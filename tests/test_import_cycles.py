"""Imports run one way: no module reaches itself by what it imports.

What counts is the text: an import within a function or under ``TYPE_CHECKING`` is one too. The package of what is
imported is imported with it, since its ``__init__`` runs first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import networkx as nx
import pytest

import orchestrator

ROOT: Final = Path(orchestrator.__file__).parent


def modules_in(root: Path, package: str) -> dict[str, Path]:
    """The source of every module of a package, by name; component folders are linked into it."""
    found = {package: root / "__init__.py"} if (root / "__init__.py").exists() else {}
    for path in sorted(root.iterdir()):
        if path.is_dir():
            found |= modules_in(path, f"{package}.{path.name}")
        elif path.suffix == ".py" and path.stem != "__init__":
            found[f"{package}.{path.stem}"] = path
    return found


def imported(module: str, tree: ast.AST, modules: Mapping[str, Path]) -> Iterator[str]:
    """The modules among ``modules`` that the source of one imports, wherever in it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}:{node.lineno} is a relative import"
            names = [f"{node.module}.{each.name}" for each in node.names]
            yield from (name if name in modules else str(node.module) for name in names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names)


def import_graph(modules: Mapping[str, Path]) -> nx.DiGraph[str]:
    """An edge from each module to those that are loaded by its imports: what they name, and the packages of that."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, path in modules.items():
        for name in imported(module, ast.parse(path.read_text()), modules):
            parts = name.split(".")
            loaded = {".".join(parts[: n + 1]) for n in range(len(parts))} & modules.keys()
            graph.add_edges_from((module, each) for each in loaded if not f"{module}.".startswith(f"{each}."))
    return graph


@pytest.fixture(scope="module")
def graph() -> nx.DiGraph[str]:
    return import_graph(modules_in(ROOT, "orchestrator"))


def in_circles(graph: nx.DiGraph[str]) -> list[list[str]]:
    return [sorted(found) for found in nx.strongly_connected_components(graph) if len(found) > 1]


def test_no_module_reaches_itself_by_what_it_imports(graph: nx.DiGraph[str]) -> None:
    assert in_circles(graph) == [], "these import each other; move what both use into a module that imports neither"


def test_rooms_of_the_front_end_import_one_way(graph: nx.DiGraph[str]) -> None:
    rooms: nx.DiGraph[str] = nx.DiGraph()
    for above, below in (map(str.split, edge, "..") for edge in graph.edges):
        if above[:2] == below[:2] == ["orchestrator", "dsl"] and above[2:3] != below[2:3] and below[2:]:
            rooms.add_edge(above[2], below[2])
    assert in_circles(rooms) == []


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ("import room.below", "from room.above import x"),
        ("from room import below", "def late():\n    from room import above"),
        ("def late():\n    import room.below", "import room.above"),
        ("if TYPE_CHECKING:\n    from room.below import X", "from room.above import x"),
        ("from room.inner import x", "import room.above"),
    ],
)
def test_an_import_counts_wherever_it_stands(tmp_path: Path, above: str, below: str) -> None:
    (tmp_path / "inner").mkdir()
    sources = {"above": above, "below": below, "inner/__init__": "from room import below"}
    for name, source in sources.items():
        (tmp_path / f"{name}.py").write_text(source)
    circles = in_circles(import_graph(modules_in(tmp_path, "room")))
    assert [set(circle) >= {"room.above", "room.below"} for circle in circles] == [True]


def test_one_way_is_no_circle(tmp_path: Path) -> None:
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / "above.py").write_text("from room import below\nfrom room.below import x")
    (tmp_path / "below.py").write_text("import ast")
    assert in_circles(import_graph(modules_in(tmp_path, "room"))) == []
