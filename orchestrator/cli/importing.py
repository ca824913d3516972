"""Importing the user's file as Python would, and saying what is wrong with it at their line."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

from orchestrator.cli.shadowing import beside, shadowed_by
from orchestrator.errors import OrchError, SourceLoc, UsageError, described

_HERE = Path(__file__).resolve().parent


def import_named(name: str) -> ModuleType | str:
    """The module, or the name of it or of a package around it that does not exist; raises ORCH-U006 as below."""
    if here := _current_folder():
        beside(*here, target=Path(name))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        if missing.name and (name == missing.name or name.startswith(missing.name + ".")):
            return missing.name
        raise _failure(name, missing) from missing
    except (Exception, SystemExit) as failure:
        raise _failure(name, failure) from failure


def import_file(path: Path) -> ModuleType:
    """Import a file under the name it has inside its outermost package. Raises ORCH-U006 for the user's own error."""
    if path.suffix == ".ipynb":
        fix = f"`jupyter nbconvert --to script {path.name}` makes a Python file of it"
        raise UsageError("ORCH-U003", f"`{path}` is a notebook, not a Python file", fix=fix)
    file = path.resolve()
    root, parts = file.parent, [] if file.name == "__init__.py" else [file.stem]
    while (root / "__init__.py").is_file() and root.name.isidentifier():
        parts.insert(0, root.name)
        root = root.parent
    beside(*_current_folder(), root, target=file)
    name = ".".join(parts)
    try:
        if _free_or_same(name, file):
            return importlib.import_module(name)
        return _import_as(f"orch_target_{file.stem}", file)
    except (Exception, SystemExit) as failure:
        raise _failure(str(path), failure) from failure


def _current_folder() -> list[Path]:
    """It, or nothing where it was removed: nothing can be imported from there."""
    try:
        return [Path.cwd()]
    except FileNotFoundError:
        return []


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
    loader = SourceFileLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    return module


def _failure(what: str, failure: BaseException) -> OrchError:
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
    message = f"`{what}` fails while it is imported: {described(failure)}"
    shadow = shadowed_by(failure)
    if shadow is not None:
        return OrchError("ORCH-U006", message, where=where, why=shadow.why, fix=shadow.fix)
    return OrchError("ORCH-U006", message, where=where, fix=_advice(failure))


def _advice(failure: BaseException) -> str | None:
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        return f"install what provides `{failure.name.partition('.')[0]}`, or run from the directory that holds it"
    if isinstance(failure, ImportError) and "no known parent package" in str(failure):
        return "the file is in no package: import what stands beside it by its plain name, or add an __init__.py"
    return None


def _is_machinery(filename: str) -> bool:
    return filename.startswith("<frozen") or "importlib" in filename or Path(filename).parent == _HERE
