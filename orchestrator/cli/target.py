"""Finding the workflow that a TARGET names.

``path/to/file.py:workflow``, ``path/to/file.py`` (when it defines exactly one), ``package.module:workflow``, or a
directory whose ``app.py`` defines ``app`` (:class:`orchestrator.cli.app.App`).

A file is imported as Python would import it from the directory above its outermost package, so relative imports work,
and both that directory and the current one are importable.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchError, SourceLoc, UsageError

if TYPE_CHECKING:
    from orchestrator.cli.app import App
    from orchestrator.dsl.workflow import Workflow

FORMS = "a target is FILE.py[:workflow], package.module:workflow, or a directory that holds an app.py"
_HERE = Path(__file__).resolve().parent


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
        module = _import_file(path)
        if name == "" and _has_app(module):
            return [_app_target(text, module, path)]
        return [Target(text, each) for each in _pick(module, name, place, several=several)]
    if place.endswith(".py") or "/" in place or not all(part.isidentifier() for part in place.split(".")):
        raise _no_such_path(text, path)
    return [Target(text, each) for each in _pick(_import_module(place, text), name, place, several=several)]


def _names_a_workflow(text: str) -> bool:
    return ":" in text and text.rpartition(":")[2].isidentifier() and not Path(text).exists()


def _load_app(text: str, path: Path) -> Target:
    file = path / "app.py"
    if not file.is_file():
        files = sorted(each.name for each in path.glob("*.py") if each.name != "__init__.py")
        fix = f"name a file in it, such as `{path / files[0]}`" if files else FORMS
        raise UsageError("ORCH-U007", f"the directory `{text}` holds no app.py", fix=fix)
    return _app_target(text, _import_file(file), file)


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


def _import_module(name: str, text: str) -> ModuleType:
    _importable(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name and (name == missing.name or name.startswith(missing.name + ".")):
            why = f"Python finds no module `{missing.name}` from here"
            raise UsageError("ORCH-U003", f"there is no `{text}`", why=why, fix=FORMS) from missing
        raise _import_failure(name, missing) from missing
    except (Exception, SystemExit) as failure:
        raise _import_failure(name, failure) from failure


def _import_file(path: Path) -> ModuleType:
    """Import a file under the name it has inside its outermost package."""
    file = path.resolve()
    root, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    _importable(Path.cwd())
    _importable(root)
    name = ".".join(parts)
    try:
        if _free_or_same(name, file):
            return importlib.import_module(name)
        return _import_as(f"orch_target_{file.stem}", file)
    except (Exception, SystemExit) as failure:
        raise _import_failure(str(path), failure) from failure


def _free_or_same(name: str, file: Path) -> bool:
    """Whether ``import name`` gives this very file, and not, say, the standard library's module of that name."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return False
    return spec is not None and spec.origin is not None and Path(spec.origin).resolve() == file


def _import_as(name: str, file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _importable(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _import_failure(what: str, failure: BaseException) -> OrchError:
    """The user's own error with their file and line; errors that are already coded pass through."""
    if isinstance(failure, OrchError):
        return failure
    if isinstance(failure, SyntaxError) and failure.filename:
        line = SourceLoc(failure.filename, failure.lineno or 1)
        return OrchError("ORCH-U006", f"`{what}` is not valid Python: {failure.msg}", where=line)
    frames = [frame for frame in traceback.extract_tb(failure.__traceback__) if not _is_machinery(frame.filename)]
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    where = SourceLoc(own[-1].filename, own[-1].lineno or 1) if own else None
    if isinstance(failure, SystemExit):
        fix = 'put what should not run on import under `if __name__ == "__main__":`'
        return OrchError("ORCH-U006", f"`{what}` ends the process while it is imported", where=where, fix=fix)
    provider = failure.name.partition(".")[0] if isinstance(failure, ModuleNotFoundError) and failure.name else None
    advice = provider and f"install what provides `{provider}`, or run from the directory that holds it"
    message = f"`{what}` fails while it is imported: {type(failure).__name__}: {failure}"
    return OrchError("ORCH-U006", message, where=where, fix=advice)


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen") or "importlib" in filename or Path(filename).parent == _HERE
