"""Python's statements as calls of operators (:mod:`.operators`), which decide while tracing.

Each body becomes a function of its own with the lines it had; what it assigns it declares ``nonlocal``::

    if verdict == "yes":                def then_3():
        reply = llm(...)                    nonlocal reply
    else:                       →           reply = llm(...)
        reply = "no"                    def else_3():
                                            nonlocal reply
                                            reply = "no"
                                        orch.if_(orch.eq(verdict, "yes"), then_3, else_3, ("reply",))

The last argument are the names that are assigned inside and may be read afterwards.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.dsl.regions.cells import FLAG, OPTIONAL
from orchestrator.dsl.rewrite.assigning import Assignments, assign, load
from orchestrator.dsl.rewrite.bodies import gathered, only_at_the_end
from orchestrator.dsl.rewrite.exits import structured
from orchestrator.dsl.rewrite.gone_through import Changed, mark_changed
from orchestrator.dsl.rewrite.lazy import mark_lazy
from orchestrator.dsl.rewrite.popping import binds, mark_pops
from orchestrator.dsl.rewrite.scopes import (
    NONE,
    Assigned,
    Liveness,
    Names,
    bound,
    bound_by_calls,
    captured,
    mark_comprehensions,
    own_nodes,
    parameters,
    rebound_outside,
    walk,
)
from orchestrator.dsl.rewrite.sure import surely_bound

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Statements(Assignments):
    """Rewrites one function, and those in it by further instances."""

    def __init__(self, operators: str, taken: Names, foreign: Names, made_up: set[str], around: Names = NONE) -> None:
        super().__init__(operators, taken, foreign, made_up)
        self._around = around
        """The names of the functions around this one, which are rewritten too."""
        self._by_calls: dict[str, Names] = {}
        """What calling a function of this scope may bind anew."""
        self._captured: Names = NONE
        self._locals: Names = NONE
        self._globals: Names = NONE
        self._assigns = Assigned()
        self._live: Liveness
        self._result = ""
        self._flags: Names = NONE
        self._sure: Names = NONE
        self._before: list[ast.stmt] = []
        """Functions that stand before the statement that is rewritten."""
        self._statement: ast.AST

    def function(self, node: Function) -> ast.FunctionDef:
        """The function rewritten, in place of ``node``; awaiting is left out, as calls do not wait while tracing."""
        given = frozenset(parameters(node))
        nodes = [*own_nodes(*node.body)]
        self._globals = frozenset(name for each in nodes if isinstance(each, ast.Global) for name in each.names)
        outer = frozenset(name for each in nodes if isinstance(each, ast.Nonlocal) for name in each.names)
        changed = rebound_outside(node, self._around)
        self._by_calls = bound_by_calls(node.body, self._around | given)
        mark_pops(nodes)
        self._sure = surely_bound(node.body, nodes, given | outer | changed | self._globals)
        body = structured(node, frozenset(self.taken), frozenset(self._by_calls))
        self.taken.update(body.made)
        self.made_up |= {*body.made}
        self._result, self._flags = body.result, body.flags
        own = (given | bound(*body.body)) - outer - self._globals
        by_calls = NONE.union(*self._by_calls.values())
        self._locals = own | outer | changed | by_calls
        self.changeable = own | changed
        self._captured = captured(nodes)
        self._live = Liveness(body.body, self._captured | outer | changed | self._globals)
        names = (bound(*body.body) | frozenset(body.made)) - given - self._globals - outer
        statements = self.block(body.body)
        start: list[ast.stmt] = []
        if names:
            start.append(_declared(sorted(names), node.body[0]))
        if changed - outer:
            start.append(self.at(ast.Nonlocal(sorted(changed - outer)), node.body[0]))
        text = int(ast.get_docstring(node, clean=False) is not None)
        statements[text:text] = start
        made = ast.FunctionDef(node.name, node.args, statements, [], node.returns)
        return self.at(made, node)

    def block(self, body: Sequence[ast.stmt]) -> list[ast.stmt]:
        """Statements in their order."""
        done: list[ast.stmt] = []
        for node in body:
            around, self._before, self._statement = (self._before, getattr(self, "_statement", node)), [], node
            made = self.visit(node)
            done += self._before
            done += made if isinstance(made, list) else [] if made is None else [made]
            self._before, self._statement = around
        return done

    # Expressions that bind names, as functions

    def named_in(self, *parts: ast.expr) -> dict[str, ast.expr]:
        if self.is_lambda or not any(map(binds, parts)):
            return {}
        return _named(names=self._marked(self._assigned(*parts) & self._locals))

    def delayed(self, node: ast.expr) -> ast.expr:
        return super().delayed(node) if self.is_lambda or not binds(node) else self.function_of((), node)

    def function_of(self, params: Sequence[str], body: ast.expr) -> ast.expr:
        if self.is_lambda or not binds(body):
            return super().function_of(params, body)
        returned = self.at(ast.Return(body), body)
        return self._before_it(*self._body("value", [returned], self._statement, *params))

    def function_making(
        self, params: Sequence[str], parts: Callable[[], list[ast.expr]], inner: Sequence[ast.expr], like: ast.AST
    ) -> ast.expr:
        if self.is_lambda or not any(map(binds, inner)):
            return super().function_making(params, parts, inner, like)
        around, self._before = self._before, []
        given = ast.Tuple(parts(), ast.Load())
        made = [*self._before, self.at(ast.Return(given), like)]
        self._before = around
        name = self.name(f"values_{getattr(like, 'lineno', 0)}")
        arguments = ast.arguments([], [ast.arg(each) for each in params], None, [], [], None, [])
        return self._before_it(name, self.at(ast.FunctionDef(name, arguments, made, []), self._statement))

    def _before_it(self, name: str, function: ast.stmt) -> ast.expr:
        self._before.append(function)
        return load(name)

    # Bodies as functions

    def _assigned(self, *roots: ast.AST) -> Names:
        """The names that statements bind or change, themselves or by calling functions of the workflow."""
        return self._assigns.of(*roots) | self._assigned_by_calls(*roots)

    def _assigned_by_calls(self, *roots: ast.AST) -> Names:
        if not self._by_calls:
            return NONE
        called = {each.id for each in own_nodes(*roots) if isinstance(each, ast.Name)} & self._by_calls.keys()
        return NONE.union(*(self._by_calls[name] for name in called))

    def _body(
        self,
        what: str,
        body: Sequence[ast.stmt],
        like: ast.AST,
        *params: str,
        start: Sequence[ast.stmt] = (),
        binds: Names = NONE,
    ) -> tuple[str, ast.stmt]:
        """A function of these statements, ``start`` of which are made up; ``binds`` are names that it is given.

        It is defined at the line of the whole statement, ``like``: a line of the body would count as run, and stop at
        its breakpoint, wherever the body itself does not run.
        """
        name = self.name(f"{what}_{getattr(like, 'lineno', 0)}")
        names = ((self._assigned(*start, *body) | binds) & self._locals) - frozenset(params)
        statements: list[ast.stmt] = []
        stored = self._assigns.of(*start, *body) & self._globals
        if stored:
            statements.append(ast.Global(sorted(stored)))
        if names:
            statements.append(ast.Nonlocal(sorted(names)))
        statements += [*start, *self.block(body)]
        args = ast.arguments([], [ast.arg(each) for each in params], None, [], [], None, [])
        made = ast.FunctionDef(name, args, statements or [ast.Pass()], [])
        return name, self.at(made, like)

    def _results(self, node: ast.stmt, *parts: ast.AST) -> list[str]:
        """What is assigned inside and may be read after ``node``."""
        return self._marked(self._assigned(*parts) & self._locals & self._live.after(node))

    def _carried(self, node: ast.For | ast.While, *parts: ast.AST) -> list[str]:
        """What a loop assigns that a turn may read of the one before, or that is read afterwards."""
        read = self._live.after(node) | self._live.before(node) | frozenset(getattr(node, "exits", ()))
        return self._marked(self._assigned(*parts) & self._locals & read)

    def _marked(self, names: Names) -> list[str]:
        return sorted(
            OPTIONAL + name
            if name == self._result or name in self._sure
            else FLAG + name
            if name in self._flags
            else name
            for name in names
        )

    # Control flow

    def visit_If(self, node: ast.If) -> list[ast.stmt]:
        if isinstance(node.test, ast.Constant):
            return self.block(node.body if node.test.value else node.orelse)
        results = self._results(node, *node.body, *node.orelse)
        test = self.visit(node.test)
        then, made = self._body("then", node.body, node)
        functions, otherwise = [made], _none()
        if node.orelse:
            name, made = self._body("else", node.orelse, node)
            functions.append(made)
            otherwise = load(name)
        return [*functions, self.do("if_", node, test, load(then), otherwise, _texts(results))]

    def visit_While(self, node: ast.While) -> list[ast.stmt]:
        parts = [ast.Expr(node.test), *node.body]
        carried = self._carried(node, *parts)
        test, test_made = self._body("while", [self.at(ast.Return(node.test), node.test)], node)
        body, body_made = self._body("body", node.body, node)
        names = self._names_of_loop(node, carried)
        if getattr(node, "asks_within", False):
            names["further"] = ast.Constant(1)
        return [test_made, body_made, self.do("while_", node, load(test), load(body), **names)]

    def _names_of_loop(
        self, node: ast.For | ast.While, carried: Sequence[str], gathers: Sequence[str] = ()
    ) -> dict[str, ast.expr]:
        after = sorted(self._live.after(node) & frozenset(carried))
        return _named(carried=carried, gathers=gathers, until=getattr(node, "exits", ()), after=after)

    def visit_For(self, node: ast.For) -> list[ast.stmt]:
        item = self.name("item_")
        take = self.at(ast.Assign([node.target], load(item)), node.target)
        parts = [take, *node.body]
        carried = self._carried(node, *parts)
        gathers = sorted((frozenset(carried) & gathered(node.body)) - self._captured)
        changed: Changed | None = getattr(node.iter, "changed", None)
        source = self.visit(node.iter)
        if changed is not None:
            named = ast.Constant(changed.name), ast.Constant(changed.has_items_assigned)
            source = self.call("unchanged", node.iter, source, load(changed.name), *named)
        start = self.block([take])
        body, made = self._body("for", node.body, node, item, start=start)
        names = self._names_of_loop(node, carried, gathers)
        if changed is not None:
            names["changed"] = ast.Constant(changed.name)
        return [made, self.do("for_", node, source, load(body), **names)]

    def visit_Try(self, node: ast.Try) -> list[ast.stmt]:
        if getattr(node, "is_left_in_the_end", False):
            return [self._refused(node, "`return`, `break` or `continue` in a `finally`, which drops a failure,")]
        handlers = node.handlers
        results = self._results(node, *node.body, *handlers, *node.orelse, *node.finalbody)
        body, made = self._body("try", node.body, node)
        functions = [made]
        caught: list[ast.expr] = []
        for handler in handlers:
            error = self.name("error_")
            start, statements = list[ast.stmt](), handler.body
            if handler.name is not None:  # which holds nothing behind the handler
                start = [self.at(assign(handler.name, load(error)), handler)]
                end = ast.Delete([ast.Name(handler.name, ast.Del())])
                statements = [*statements, self.at(assign(handler.name, _none()), handler), self.at(end, handler)]
            name, made = self._body("except", statements, node, error, start=start)
            functions.append(made)
            kinds = ast.Constant(None) if handler.type is None else self.delayed(handler.type)
            ast.copy_location(kinds, node)
            caught.append(ast.Tuple([kinds, load(name)], ast.Load()))
        parts: dict[str, ast.expr] = {"handlers": ast.Tuple(caught, ast.Load())} if caught else {}
        for what, statements in (("orelse", node.orelse), ("cleanup", node.finalbody)):
            if statements:
                name, made = self._body("finally" if what == "cleanup" else what, statements, node)
                functions.append(made)
                parts[what] = load(name)
        exits = (self._assigns.of(*node.body) & self._flags) | {self._result}  # behind an exit nothing can fail
        names = _named(
            names=results,
            tried=sorted(self._assigned(*node.body) & self._locals),
            handled=sorted(self._assigned(*handlers, *node.orelse) & self._locals),
            last=sorted((only_at_the_end(node.body) - self._assigned_by_calls(*node.body)) | exits),
        )
        return [*functions, self.do("try_", node, load(body), **parts, **names)]

    def visit_Raise(self, node: ast.Raise) -> ast.stmt:
        exc = _none() if node.exc is None else self.visit(node.exc)
        cause = _none() if node.cause is None else self.visit(node.cause)
        return self.do("raise_", node, exc, cause)

    def visit_Match(self, node: ast.Match) -> list[ast.stmt]:
        return self._match(node)

    def _match(self, node: ast.Match) -> list[ast.stmt]:
        """A function a case, and Python's own ``match`` that says which one, for a subject that is concrete."""
        results = self._results(node, *node.cases)
        subject = self.name("subject_")
        functions: list[ast.stmt] = []
        told: list[ast.expr] = []
        native: list[ast.match_case] = []
        chosen = self.name("case_")
        for number, case in enumerate(node.cases):
            name, made = self._body("case", case.body, node, binds=bound(case.pattern))
            guard = _none() if case.guard is None else self.delayed(case.guard)
            functions.append(made)
            told.append(ast.Tuple([self._pattern(case.pattern), guard, load(name)], ast.Load()))
            tested = None if case.guard is None else self.visit(case.guard)
            native.append(
                ast.match_case(case.pattern, tested, [self.at(assign(chosen, ast.Constant(number)), case.pattern)])
            )
        took = self.name("match_")
        inner = [
            ast.Nonlocal(sorted((self._assigns.of(*node.cases) & self._locals) | {chosen})),
            ast.Match(load(subject), native),
        ]
        arguments = ast.arguments([], [ast.arg(subject)], None, [], [], None, [])
        functions.append(self.at(ast.FunctionDef(took, arguments, [*inner, ast.Return(load(chosen))], []), node))
        start = self.at(assign(chosen, ast.Constant(-1)), node)
        call = self.do(
            "match_", node, self.visit(node.subject), load(took), ast.Tuple(told, ast.Load()), _texts(results)
        )
        return [start, *functions, call]

    def _pattern(self, pattern: ast.pattern) -> ast.expr:  # noqa: PLR0911 - a case each
        """What a pattern is to a symbolic subject, as an expression that makes it."""
        match pattern:
            case ast.MatchValue(value=value):
                return self.call("value_pattern", pattern, self.visit(value))
            case ast.MatchSingleton(value=value):
                return self.call("singleton_pattern", pattern, ast.Constant(value))
            case ast.MatchOr(patterns=patterns):
                return self.call("or_pattern", pattern, *map(self._pattern, patterns))
            case ast.MatchAs(pattern=None, name=name):
                return self.call("any_pattern", pattern, ast.Constant(name))
            case ast.MatchAs(pattern=ast.pattern() as inner, name=name):
                return self.call("as_pattern", pattern, self._pattern(inner), ast.Constant(name))
            case ast.MatchClass(cls=cls, patterns=in_order, kwd_attrs=names, kwd_patterns=inside):
                fields = ast.Dict([ast.Constant(each) for each in names], [self._pattern(each) for each in inside])
                return self.call("class_pattern", pattern, self.visit(cls), fields, *map(self._pattern, in_order))
            case ast.MatchSequence(patterns=patterns):
                stars = [place for place, each in enumerate(patterns) if isinstance(each, ast.MatchStar)]
                star = ast.Constant(stars[0] if stars else None)
                return self.call("sequence_pattern", pattern, star, *map(self._pattern, patterns))
            case ast.MatchStar(name=name):
                return self.call("any_pattern", pattern, ast.Constant(name))
        return self.call("no_pattern", pattern, ast.Constant(ast.unparse(pattern)))

    def visit_With(self, node: ast.With) -> ast.stmt:
        items = [
            ast.withitem(self.call("with_", each.context_expr, self.visit(each.context_expr)), each.optional_vars)
            for each in node.items
        ]
        return self.at(ast.With(items, self.block(node.body)), node)

    def _refused(self, node: ast.stmt, what: str) -> ast.stmt:
        return self.do("refused", node, ast.Constant(what))

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.stmt:
        return self._refused(node, "async for")

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.stmt:
        return self._refused(node, "async with")

    def visit_TryStar(self, node: Any) -> ast.stmt:
        return self._refused(node, "except*")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.stmt:
        return self._nested(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.stmt:
        return self._nested(node)

    def _nested(self, node: Function) -> ast.stmt:
        """A function in the workflow. One with a decorator is left alone: a tool, a workflow of its own, a wrapper."""
        if node.decorator_list or any(isinstance(each, (ast.Yield, ast.YieldFrom)) for each in own_nodes(*node.body)):
            return node
        made = type(self)(
            self.operators, frozenset(self.taken), self.foreign, self.made_up, self._around | self._locals
        ).function(node)
        self.visit_defaults(made.args)
        return made

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        return node


def rewritten(node: Function, operators: str, taken: Names, foreign: Names, made_up: set[str]) -> ast.FunctionDef:
    """A workflow's function rewritten, with the names that are made up in ``made_up``.

    ``operators`` is the name of what has the operators, ``taken`` are names in use, ``foreign`` those of functions of
    Python and its library.
    """
    nodes = [*walk(node)]
    mark_comprehensions(nodes)
    mark_lazy(node, nodes)
    mark_changed(nodes)
    return Statements(operators, taken, foreign, made_up).function(node)


def _declared(names: Sequence[str], like: ast.AST) -> ast.stmt:
    """What makes names local to a function without binding them."""
    deleted = ast.If(ast.Constant(False), [ast.Delete([ast.Name(each, ast.Del()) for each in names])], [])
    return ast.fix_missing_locations(ast.copy_location(deleted, like))


def _none() -> ast.expr:
    return ast.Constant(None)


def _named(**texts: Sequence[str]) -> dict[str, ast.expr]:
    """Keyword arguments that are names; without those of which there are none."""
    return {keyword: _texts(names) for keyword, names in texts.items() if names}


def _texts(texts: Sequence[str]) -> ast.expr:
    return ast.Tuple([ast.Constant(each) for each in texts], ast.Load())
