"""Finding the workflow that a TARGET names.

``path/to/file.py:workflow``, ``path/to/file.py`` (when it defines exactly one), ``package.module:workflow``,
``path/to/file.mlir`` (what ``orch compile -o`` wrote), or a directory whose ``app.py`` defines ``app``
(:class:`orchestrator.cli.app.App`).

A file is imported as Python would import it from the directory above its outermost package, so relative imports work,
and both that directory and the current one are importable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.cli.importing import import_file, import_named
from orchestrator.errors import SourceLoc, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.app import App
    from orchestrator.dsl.workflow import Workflow

FORMS = "a target is FILE.py[:workflow], package.module:workflow, FILE.mlir, or a directory that holds an app.py"


@dataclass(frozen=True, slots=True)
class Target:
    """What a command works on; ``app`` is set for a directory target."""

    text: str
    workflow: Workflow[..., Any]
    app: App | None = None


def load_target(text: str) -> Target:
    """Import what ``text`` names. Raises ``UsageError`` ORCH-U003…U005, U007, or ORCH-U006 for the user's own error."""
    return load_targets(text, several=False)[0]


def load_targets(text: str, *, several: bool = True) -> list[Target]:
    """:func:`load_target`; with ``several``, a file or module that defines several workflows gives all of them."""
    place, _, name = text.rpartition(":") if _names_a_workflow(text) else (text, "", "")
    path = Path(place)
    if path.is_dir():
        if name:
            raise UsageError(
                "ORCH-U003", f"`{text}` names a workflow in a directory", fix=f"use `{place}/FILE.py:{name}`"
            )
        return [_load_app(text, path)]
    if path.is_file():
        if path.suffix == ".mlir":
            return [Target(text, _stored(path))]
        module = import_file(path)
        if name == "" and _has_app(module):
            return [_app_target(text, module, path)]
        return [Target(text, each) for each in _pick(module, name, place, several=several)]
    if place.endswith(".py") or "/" in place or not all(part.isidentifier() for part in place.split(".")):
        raise _no_such_path(text, path)
    return [Target(text, each) for each in _pick(_named(place, text), name, place, several=several)]


def _stored(path: Path) -> Workflow[..., Any]:
    from orchestrator.cli.stored import load_stored

    return load_stored(path, _found)


def _found(place: str, name: str) -> Any:
    """What a compiled text names."""
    if place.endswith(".py"):
        if not _is_file(place):
            raise LookupError(f"there is no file `{place}`")
        module: Any = import_file(Path(place))
    else:
        if not all(part.isidentifier() for part in place.split(".")):
            raise LookupError(f"`{place}` is no name of a module")
        module = import_named(place)
        if isinstance(module, str):
            raise LookupError(f"Python finds no module `{module}` from here")
    for part in name.split("."):
        if not hasattr(module, part):
            raise LookupError(f"`{place}` has no `{name}`")
        module = getattr(module, part)
    return module


def _is_file(place: str) -> bool:
    try:
        return Path(place).is_file()
    except OSError:  # a name that is too long for any
        return False


def _named(name: str, text: str) -> ModuleType:
    module = import_named(name)
    if isinstance(module, str):
        raise UsageError(
            "ORCH-U003", f"there is no `{text}`", why=f"Python finds no module `{module}` from here", fix=FORMS
        )
    return module


def _names_a_workflow(text: str) -> bool:
    return ":" in text and text.rpartition(":")[2].isidentifier() and not Path(text).exists()


def _load_app(text: str, path: Path) -> Target:
    file = path / "app.py"
    if not file.is_file():
        files = sorted(each.name for each in path.glob("*.py") if each.name != "__init__.py")
        fix = f"name a file in it, such as `{path / files[0]}`" if files else FORMS
        raise UsageError("ORCH-U007", f"the directory `{text}` holds no app.py", fix=fix)
    return _app_target(text, import_file(file), file)


def _has_app(module: ModuleType) -> bool:
    from orchestrator.cli.app import App

    return isinstance(getattr(module, "app", None), App)


def _app_target(text: str, module: ModuleType, file: Path) -> Target:
    if not _has_app(module):
        where = SourceLoc(str(file), 1)
        fix = "write `app = App(workflow=..., prepare=...)`, with App from orchestrator.cli.app"
        raise UsageError("ORCH-U007", f"`{file}` defines no `app`", where=where, fix=fix)
    app: App = module.app
    return Target(text, app.workflow, app)


def workflows_of(module: ModuleType) -> dict[str, Workflow[..., Any]]:
    """The workflows a module defines, or names if it defines none; by variable name."""
    from orchestrator.dsl.workflow import Workflow

    named = {name: each for name, each in vars(module).items() if isinstance(each, Workflow)}
    own = {name: each for name, each in named.items() if getattr(each, "__module__", None) == module.__name__}
    return own or named


def _pick(module: ModuleType, name: str, place: str, *, several: bool) -> list[Workflow[..., Any]]:
    found = workflows_of(module)
    if name:
        if name in found:
            return [found[name]]
        raise _no_such_workflow(module, name, place, found)
    if len(found) == 1 or (found and several):
        return list(found.values())
    if not found:
        fix = "decorate a function of it with `@workflow`"
        raise UsageError("ORCH-U004", f"`{place}` defines no workflow", fix=fix)
    names = ", ".join(found)
    fix = f"name one, as in `{place}:{next(iter(found))}`"
    raise UsageError("ORCH-U004", f"`{place}` defines {len(found)} workflows: {names}", fix=fix)


def _no_such_workflow(module: ModuleType, name: str, place: str, found: Iterable[str]) -> UsageError:
    other = getattr(module, name, None)
    if callable(other):
        fix = f"decorate `{name}` with `@workflow`"
        return UsageError("ORCH-U005", f"`{name}` in `{place}` is not a workflow", fix=fix)
    near = get_close_matches(name, list(found), n=1, cutoff=0.5)
    names = ", ".join(f"`{each}`" for each in found)
    fix = f"did you mean `{place}:{near[0]}`?" if near else f"it defines {names or 'no workflow at all'}"
    return UsageError("ORCH-U005", f"`{place}` defines no workflow `{name}`", fix=fix)


def _no_such_path(text: str, path: Path) -> UsageError:
    folder = path.parent
    if not folder.is_dir():
        return UsageError("ORCH-U003", f"there is no `{text}`", why=f"`{folder}` is not a directory", fix=FORMS)
    names = [each.name for each in folder.iterdir() if each.is_dir() or each.suffix == ".py"]
    near = get_close_matches(path.name, names, n=1, cutoff=0.5)
    return UsageError(
        "ORCH-U003", f"there is no `{text}`", fix=f"did you mean `{folder / near[0]}`?" if near else FORMS
    )
