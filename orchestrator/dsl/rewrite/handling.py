"""``try`` and ``raise``: Python's own while nothing symbolic is involved, else an attempt that is decided when it runs.

A body without ops is done when it has been traced, or has raised and is handled as Python does. One with ops becomes an
``agent.attempt``; an exception that is raised while it is traced stands at its end, as it would when it runs.

What a handler sees of a name that the body assigns is not known: the failure may have come before or after. So such a
name is unbound there, unless the last statement alone assigns it: then it holds what it held before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from orchestrator.dsl.regions.cells import (
    FLAG,
    OPTIONAL,
    UNBOUND,
    Cells,
    Contents,
    cells_of,
    contents_of,
    hold,
    plain_name,
    restore,
)
from orchestrator.dsl.regions.failing import names_of
from orchestrator.dsl.regions.raising import EndedError, fail_op, reraise_op
from orchestrator.dsl.regions.unbound import BY_A_FAILURE, BY_A_HANDLER, check_bound, note, taken, unbound
from orchestrator.dsl.rewrite.arms import RETURNED, Arm, Joining, emit, run
from orchestrator.dsl.rewrite.deciding import decide
from orchestrator.dsl.rewrite.plain import is_symbolic
from orchestrator.dsl.source.location import user_location
from orchestrator.dsl.tracing.tracer import Origin, Result, Tracer, Value, current_tracer
from orchestrator.errors import Error, OrchError, TraceError, described

Thunk = Callable[[], object]
Handler = tuple[Callable[[], Any] | None, Callable[[Any], object]]
"""What gives the classes it takes, and what is done with an error."""
Names = Sequence[str]


class _Try(NamedTuple):
    """The statement: its blocks, and the names that they assign."""

    body: Thunk
    handlers: Sequence[Handler]
    orelse: Thunk | None
    names: Names
    """Names that are assigned in it and may be read behind it."""
    tried: Names
    """Names that the body assigns."""
    handled: Names
    """Names that the handlers and the ``else`` assign."""
    last: Names
    """Names that only the last statement of the body assigns."""

    def cells(self, *further: Thunk) -> Cells:
        """The names that its blocks, and ``further`` ones, use of the function around them."""
        return cells_of((self.body, self.orelse, *further, *(handle for _, handle in self.handlers)))


def try_(
    body: Thunk,
    handlers: Sequence[Handler] = (),
    orelse: Thunk | None = None,
    cleanup: Thunk | None = None,
    *,
    names: Names = (),
    tried: Names = (),
    handled: Names = (),
    last: Names = (),
) -> None:
    """The statement ``try``; ``cleanup`` is its ``finally``. What the names are is told at :class:`_Try`."""
    tracer, statement = current_tracer(), _Try(body, handlers, orelse, names, tried, handled, last)
    if tracer is None:
        _natively(statement, cleanup)
    elif cleanup is not None:
        _cleaned(tracer, statement, cleanup)
    else:
        _handled(tracer, statement, names)


def _natively(statement: _Try, cleanup: Thunk | None) -> None:
    try:
        try:
            statement.body()
        except BaseException as error:
            handle = _native_handler(error, statement.handlers)
            if handle is None:
                raise
            handle(error)
        else:
            if statement.orelse is not None:
                statement.orelse()
    finally:
        if cleanup is not None:
            cleanup()


def _native_handler(error: BaseException, handlers: Sequence[Handler]) -> Callable[[Any], object] | None:
    for kinds, handle in handlers:
        if kinds is None or isinstance(error, kinds()):
            return handle
    return None


def _handled(tracer: Tracer, statement: _Try, names: Names) -> None:
    """``try`` with its handlers, and without a ``finally``; ``names`` may be read behind it."""
    cells = statement.cells()
    before, emitted = contents_of(cells), tracer.emitted
    arm, raised = _tried(tracer, statement.body, cells)
    if tracer.emitted == emitted and not arm.scope.raises:
        arm.drop()
        _without_ops(tracer, raised, statement)
        return
    arms = [arm]
    assigned = _assigned(arm, before, statement.tried)
    catches = [list(_names(tracer, kinds)) for kinds, _ in statement.handlers]
    for number, (_, handle) in enumerate(statement.handlers, 1):
        restore(cells, before)
        for name in assigned:
            if name not in statement.last:
                hold(cells[name], unbound(tracer, name, BY_A_FAILURE))
        caught = Arm(tracer, f"handler {number} of the `try`")
        arms.append(caught)
        with caught.open([Error]):
            error_value: Value[Any] = tracer.value(
                caught.arguments[0], Result(Error), Origin("the error", tracer.here()), caught.scope
            )
            _Handling(tracer, error_value, handle).run(caught, cells)
    restore(cells, before)
    if statement.orelse is None:
        emit(tracer, "attempt", [], arms, names, cells, {"catches": catches})
        return
    _then_else(tracer, arms, catches, statement.orelse, names, cells)


def _assigned(arm: Arm, before: Contents, names: Names) -> list[str]:
    """The names that a block has bound anew, or may have before it failed."""
    if arm.contents is None:
        return [name for name in names if name in before]
    return [name for name, content in before.items() if arm.contents[name] is not content]


def _then_else(  # noqa: PLR0917
    tracer: Tracer, arms: Sequence[Arm], catches: list[list[str]], orelse: Thunk, names: Names, cells: Cells
) -> None:
    """``else`` runs where the body got to its end, and its failures are not caught."""
    for position, arm in enumerate(arms):
        if arm.contents is not None:
            arm.contents[RETURNED] = position == 0
    every = sorted({*map(plain_name, names), *cells})
    kept = [f"{OPTIONAL}{name}" for name in every if name in cells]
    lost = _lost(arms[1:], names)
    flags = [plain_name(name) for name in names if name.startswith(FLAG)]
    left = {name: _left(arms[1:], name, flags) for name in names if not name.startswith((FLAG, OPTIONAL))}
    got_to_end = emit(tracer, "attempt", [], arms, kept, cells, {"catches": catches})

    def handled() -> None:
        for name in lost:
            hold(cells[name], unbound(tracer, name, BY_A_HANDLER))
        for name, exits in left.items():
            note(tracer, cells[name], exits)

    if is_symbolic(got_to_end):
        decide(got_to_end, orelse, handled, names, cells)
    else:
        (orelse if got_to_end else handled)()


def _left(handlers: Sequence[Arm], name: str, flags: Names) -> frozenset[str]:
    """The exits of loops that handlers take without binding a name."""
    contents = [arm.contents for arm in handlers if arm.contents is not None and arm.contents.get(name) is UNBOUND]
    return frozenset[str]().union(*(taken(flags, each) for each in contents))


def _lost(handlers: Sequence[Arm], names: Names) -> list[str]:
    """The names that a handler leaves unbound, and does not leave the statement itself."""
    flags = [plain_name(name) for name in names if name.startswith(FLAG)]
    ending = [arm.contents for arm in handlers if arm.contents is not None]
    staying = [each for each in ending if not any(each.get(flag) is True for flag in flags)]
    return [name for name in names if any(each.get(name) is UNBOUND for each in staying)]


def _without_ops(tracer: Tracer, raised: Exception | None, statement: _Try) -> None:
    """What Python does; nothing has been asked of a model or a tool."""
    if raised is None:
        if statement.orelse is not None:
            statement.orelse()
        return
    handle = _native_handler(raised, statement.handlers)
    if handle is None:
        raise_(raised, None)
        return
    tracer.handled.append(raised)
    try:
        raise raised
    except Exception as error:  # noqa: BLE001 - the user's
        handle(error)
    finally:
        tracer.handled.pop()


class _Handling:
    """A handler while it is traced: what a ``raise`` without an exception raises again."""

    def __init__(self, tracer: Tracer, error: Value[Any], handle: Callable[[Any], object]) -> None:
        self._tracer = tracer
        self._error = error
        self._handle = handle

    def run(self, arm: Arm, cells: Cells) -> None:
        """Trace it."""
        handled = self._tracer.handled
        handled.append(self._error)
        try:
            run(arm, lambda: self._handle(self._error), cells)
        finally:
            handled.pop()


def _names(tracer: Tracer, kinds: Callable[[], Any] | None) -> tuple[str, ...]:
    if kinds is None:
        return ()
    given = kinds()
    classes = given if isinstance(given, tuple) else (given,)
    if not all(isinstance(each, type) and issubclass(each, BaseException) for each in classes):
        tracer.report(
            "ORCH-D056", f"`except {given!r}` is no class of exceptions", fix="name a class, or a tuple of some"
        )
        return ()
    tracer.caught.update(classes)
    return names_of(classes)


def _cleaned(tracer: Tracer, statement: _Try, cleanup: Thunk) -> None:
    """``finally``: an attempt around it all, of which nothing is caught."""
    cells, names = statement.cells(cleanup), statement.names
    before, emitted = contents_of(cells), tracer.emitted
    read = frozenset(map(plain_name, names))
    every = [*names, *(f"{OPTIONAL}{name}" for name in cells if name not in read)]
    arm, raised = _tried(tracer, lambda: _handled(tracer, statement, every), cells)

    def returned() -> list[Any]:
        left = arm.contents or {}
        return [left.get(plain_name(name)) for name in names if name.startswith(OPTIONAL)]

    if tracer.emitted == emitted and not arm.scope.raises:
        arm.drop()
        with tracer.holding(returned, "what the `try` returns"):
            cleanup()
        if raised is not None:
            raise_(raised, None)
        return
    restore(cells, before)
    assigned = _assigned(arm, before, (*statement.tried, *statement.handled))
    for name in assigned:
        hold(cells[name], unbound(tracer, name, BY_A_FAILURE))
    end = Arm(tracer, "the `finally`")
    with end.open(), tracer.holding(returned, "what the `try` returns"):
        run(end, cleanup, cells)
    _refuse_changes(tracer, end.contents, before, assigned, names)
    joining = Joining(tracer, [end])
    end.contents = {}
    joining.finish()
    restore(cells, before)
    emit(tracer, "attempt", [], [arm], names, cells, {"catches": []}, further=[end.region])


def _refuse_changes(tracer: Tracer, contents: Contents | None, before: Contents, assigned: Names, names: Names) -> None:
    for name in names:
        plain = plain_name(name)
        if contents is None or plain not in contents:
            continue
        was = UNBOUND if plain in assigned else before[plain]
        if contents[plain] is not was:
            tracer.report(
                "ORCH-D056",
                f"`{plain}` is assigned in a `finally` and read behind it",
                why="the `finally` also runs where the run fails or is cancelled, and gives nothing back",
                fix="assign it behind the `try`",
            )


def _tried(tracer: Tracer, body: Thunk, cells: Cells) -> tuple[Arm, Exception | None]:
    """The block of a ``try``, and what was raised while it was traced; behind ops, it stands at their end."""
    arm = Arm(tracer, f"the `try` at line {tracer.here().line}")
    arm.scope.is_tried = True
    emitted = tracer.emitted
    raised: Exception | None = None
    with arm.open():
        try:
            run(arm, body, cells)
        except Exception as error:
            if isinstance(error, OrchError):
                raise
            check_bound(tracer, error)
            raised = error
            if tracer.emitted > emitted:
                fail_op(tracer, error)
    return arm, raised


def raise_(exc: Any, cause: Any) -> None:
    """The statement ``raise``: where it depends on symbolic values if it is reached, it fails when it runs."""
    tracer = current_tracer()
    if exc is None:
        if tracer is None or not tracer.handled:
            raise  # noqa: PLE0704 - within Python's own handler
        exc = tracer.handled[-1]
    if tracer is not None and isinstance(exc, Value):
        reraise_op(tracer, exc)
        raise EndedError
    is_first = tracer is not None and tracer.scope.outer is None and not tracer.emitted  # an error of the program
    if tracer is None or is_first or tracer.scope.is_tried:
        raise exc if cause is None else _caused(exc, cause)
    made = exc() if isinstance(exc, type) else exc
    if not isinstance(made, BaseException):
        raise TypeError("exceptions must derive from BaseException")
    try:
        fail_op(tracer, made)
    except OrchError:
        raise
    except Exception as error:
        raise TraceError(
            "ORCH-D001", f"the text of {type(made).__name__} cannot be made: {described(error)}", where=user_location()
        ) from error
    raise EndedError


def _caused(exc: Any, cause: Any) -> BaseException:
    made: BaseException = exc() if isinstance(exc, type) else exc
    made.__cause__ = cause
    return made
