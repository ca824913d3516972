"""Random programs: the source of a workflow for a seed."""

from __future__ import annotations

import re
from random import Random
from typing import Final

from tests.fuzz.expressions import BOOL, INT, INTS, ITEM, KIND, KINDS, MAYBE, STR, TABLE, TEXTS, TYPES, Expressions

HEADER: Final = "from __future__ import annotations\nfrom tests.fuzz.surface import *\n"
PARAMETERS: Final = {"text": STR, "n": INT, "texts": TEXTS, "flag": BOOL}
INPUTS: Final = (
    ("a bug?", 3, ["ab", "c", ""], True), ("", 0, [], False), ("ümläut b", 8, ["one", "two x", "b", "a"], True),
    ("xy", 5, ["a"], False),
)  # fmt: skip
CAUGHT: Final = (
    "DeniedError", "MissingError", "BusyError", "ValueError", "KeyError", "(KeyError, BusyError)", "Exception",
    "LookupError",
)  # fmt: skip
Names = dict[str, str]


class Programs(Expressions):
    """Writes one program."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.lines: list[str] = []
        self.returns = STR
        self.loops = 0
        self.iterated: set[str] = set()
        """What loops go through, which Python does not like to be changed meanwhile."""
        self.budget = random.randint(6, 24)
        """How many statements there may still be."""

    def program(self, name: str) -> str:
        """The source of a function."""
        self.returns = self.random.choice([STR, INT, TEXTS, INTS, BOOL, TABLE, MAYBE, ITEM, f"tuple[{STR}, {INT}]"])
        is_async = self.chance(5)
        parameters = ", ".join(f"{each}: {tp}" for each, tp in PARAMETERS.items())
        self.lines = [f"{'async ' * is_async}def {name}({parameters}) -> {self.returns}:"]
        names = dict(PARAMETERS)
        self.block(names, 1, self.random.randint(3, 7), top=True)
        self._return(names, 1)
        return "\n".join(self.lines) + "\n"

    def write(self, indent: int, line: str) -> None:
        self.lines.append("    " * indent + line)

    def block(self, names: Names, indent: int, count: int, *, top: bool = False) -> set[str]:
        """Some statements; the names that they assign. ``names`` gets those that they make."""
        assigned: set[str] = set()
        written = len(self.lines)
        for _ in range(count):
            if self.budget > 0 or top:
                self.budget -= 1
                assigned |= self.statement(names, indent)
        if len(self.lines) == written:
            self.write(indent, "pass")
        return assigned

    def inner(self, names: Names, indent: int, without: set[str] = frozenset()) -> set[str]:  # type: ignore[assignment]
        """A block whose new names are not known behind it."""
        own = {name: tp for name, tp in names.items() if name not in without}
        return self.block(own, indent, self.random.randint(1, 3)) & set(names)

    def statement(self, names: Names, indent: int) -> set[str]:
        made = [
            (16, self._assign), (7, self._rebind), (6, self._augment), (12, self._if), (9, self._for), (3, self._while),
            (8, self._try), (5, self._match), (8, self._change), (5, self._effect_alone), (3, self._raise),
            (3, self._exit), (4, self._unpack), (4, self._function), (2, self._chat), (2, self._attempt),
            (2, self._both),
        ]  # fmt: skip
        if indent > 4:
            made = [each for each in made if each[1] not in (self._if, self._for, self._while, self._try, self._match)]
        (chosen,) = self.random.choices([each for _, each in made], [weight for weight, _ in made])
        return chosen(names, indent)

    def _assign(self, names: Names, indent: int) -> set[str]:
        tp, name = self.random.choice(TYPES), self.fresh("v")
        self.write(indent, f"{name} = {self.any(names, tp)}")
        names[name] = tp
        return {name}

    def _of(self, names: Names, *types: str) -> str | None:
        known = [name for name, tp in names.items() if tp in types and name not in self.iterated]
        return self.random.choice(known) if known else None

    def _rebind(self, names: Names, indent: int) -> set[str]:
        name = self._of(names, *TYPES)
        if name is None:
            return self._assign(names, indent)
        value = self.any(names, names[name])
        if self.loops and names[name] in (STR, TEXTS, INTS):
            value = f"({value})[:{40 if names[name] == STR else 5}]"
        self.write(indent, f"{name} = {value}")
        return {name}

    def _augment(self, names: Names, indent: int) -> set[str]:
        name = self._of(names, INT, STR, TEXTS)
        if name is None:
            return self._assign(names, indent)
        tp = names[name]
        self.write(
            indent, f"{name} += {self.any(names, tp)}" + ("[:9]" if tp == STR else "[:2]" if tp == TEXTS else "")
        )
        return {name}

    def _both(self, names: Names, indent: int) -> set[str]:
        first, second = self._of(names, STR), self._of(names, STR)
        if first == second or first is None or second is None:
            return self._rebind(names, indent)
        self.write(indent, f"{first}, {second} = {second}, ({self.any(names, STR, 1)})[:20]")
        return {first, second}

    def _if(self, names: Names, indent: int) -> set[str]:
        test = self.any(names, self.random.choice([BOOL, BOOL, BOOL, STR, TEXTS, MAYBE, INT]))
        self.write(indent, f"if {test}:")
        new = {name: tp for name, tp in [(self.fresh("v"), self.random.choice(TYPES))] if self.chance(25)}
        assigned = self._arm(names, indent + 1, new)
        if self.chance(25):
            self.write(indent, f"elif {self.any(names, BOOL)}:")
            assigned |= self._arm(names, indent + 1, new)
        if new or self.chance(50):
            self.write(indent, "else:")
            assigned |= self._arm(names, indent + 1, new)
        names |= new
        return assigned | set(new)

    def _arm(self, names: Names, indent: int, new: Names) -> set[str]:
        own = dict(names)
        assigned = self.block(own, indent, self.random.randint(1, 2)) & set(names)
        for name, tp in new.items():
            self.write(indent, f"{name} = {self.any(own, tp)}")
        return assigned

    def _looped(self, names: Names, indent: int) -> set[str]:
        self.loops += 1
        assigned = self.inner(names, indent)
        self.loops -= 1
        return assigned

    def _for(self, names: Names, indent: int) -> set[str]:
        item, own = self.fresh("i"), dict(names)
        source, tp = self.random.choice([
            (f"{self.any(names, TEXTS, 1)}[:6]", STR), (f"list({self.any(names, TEXTS, 1)})", STR),
            (f"{self.any(names, INTS, 1)}[:6]", INT),
            (f"range({self.random.randint(1, 4)})", INT), (f"range({self.any(names, INT, 1)} % 4)", INT),
            (f"{self.any(names, STR, 1)}[:3]", STR), (self.any(names, TABLE), STR),
        ])  # fmt: skip
        target = item
        if self.chance(20):
            extra = self.fresh("i")
            target, source = f"{extra}, {item}", f"enumerate({source})"
            own[extra] = INT
        own[item] = tp
        self.write(indent, f"for {target} in {source}:")
        outer, self.iterated = (
            self.iterated,
            self.iterated | {each for each in names if re.search(rf"\b{each}\b", source)},
        )
        assigned = self._looped(own, indent + 1) & set(names)
        self.iterated = outer
        if self.chance(15):
            self.write(indent, "else:")
            assigned |= self.inner(names, indent + 1)
        return assigned

    def _while(self, names: Names, indent: int) -> set[str]:
        count = self.fresh("c")
        self.write(indent, f"{count} = {self.random.choice(['0', 'size(text) % 3', 'n % 2'])}")
        test = f" and {self.any(names, BOOL, 1)}" if self.chance(60) else ""
        self.write(indent, f"while {count} < {self.random.randint(1, 4)}{test}:")
        self.write(indent + 1, f"{count} += 1")
        assigned = self._looped({**names}, indent + 1) & set(names)
        names[count] = INT
        return assigned | {count}

    def _try(self, names: Names, indent: int) -> set[str]:
        start = len(self.lines)
        self.write(indent, "try:")
        own = dict(names)
        assigned = self.block(own, indent + 1, self.random.randint(1, 3)) & set(names)
        risky = self.random.choice([(STR, "look({})"), (INT, "pay({})"), (INT, "fetch({})")])
        name = self._of(names, risky[0])
        call = risky[1].format(self.any(names, risky[0], 1))
        only = not assigned
        self.write(indent + 1, call if name is None else f"{name} = {call}")
        kept = names if only else {each: tp for each, tp in names.items() if each not in assigned}
        changed = assigned | ({name} if name is not None else set())
        kinds = self.random.sample(CAUGHT, self.random.randint(0, 3))
        if "Exception" in kinds:
            kinds = [each for each in kinds if each != "Exception"] + ["Exception"]
        for each in kinds:
            error = self.fresh("x")
            self.write(indent, f"except {each} as {error}:" if self.chance(50) else f"except {each}:")
            changed |= self.inner(dict(kept), indent + 1, set() if only else changed)
            if self.lines[-1].strip() != "raise" and self.chance(10):
                self.write(indent + 1, "raise")
        if kinds and self.chance(25):
            self.write(indent, "else:")
            changed |= self.inner(names, indent + 1)
        if not kinds or self.chance(25):
            self.write(indent, "finally:")
            source = {each: tp for each, tp in names.items() if each not in changed}
            self.write(indent + 1, f"send({self.any(source, STR, 1)})")
        if kinds and not only:
            for each in changed - {"text", "n", "texts", "flag"}:
                names.pop(each, None)
            for each in changed & {"text", "n", "texts", "flag"}:
                value = self.random.choice(
                    {STR: ["'t'"], INT: ["4"], TEXTS: ["['t', 'u']"], BOOL: ["True"]}[names[each]]
                )
                self.write(indent, f"{each} = {value}")
        assert len(self.lines) > start
        return changed

    def _match(self, names: Names, indent: int) -> set[str]:
        tp = self.random.choice([KIND, KIND, STR, INT, MAYBE, ITEM])
        self.write(indent, f"match {self.any(names, tp, 1)}:")
        assigned: set[str] = set()
        cases = {
            KIND: [f'"{each}"' for each in KINDS] + ['"bug" | "other"'],
            STR: ['"a"', '"b" | ""', '"ab"'],
            INT: ["0", "1 | 2", "3", "-1"],
            MAYBE: ["None", '"a"', "str()"],
            ITEM: ["Item(count=2)", 'Item(name="a")', "Item(count=1 | 0)"],
        }[tp]
        for case in self.random.sample(cases, self.random.randint(1, min(3, len(cases)))):
            guard = f" if {self.any(names, BOOL, 1)}" if self.chance(25) else ""
            self.write(indent + 1, f"case {case}{guard}:")
            assigned |= self.inner(names, indent + 2)
        if self.chance(70):
            taken = self.fresh("m")
            captures = self.chance(40)
            self.write(indent + 1, f"case {taken}:" if captures else "case _:")
            assigned |= self.inner({**names, taken: tp} if captures else names, indent + 2) & set(names)
        return assigned

    def _change(self, names: Names, indent: int) -> set[str]:
        name = self._of(names, TEXTS, INTS, TABLE)
        if name is None:
            return self._rebind(names, indent)
        tp, random = names[name], self.random

        def e(wanted: str) -> str:
            return f"({self.any(names, wanted, 1)})[:9]" if wanted == STR else self.any(names, wanted, 1)

        if tp == TABLE:
            self.write(indent, random.choice([
                f"{name}[{e(STR)}] = {e(INT)}", f"{name}.update({e(TABLE)})", f"{name}.pop({e(STR)}, None)",
                f"{name}[{e(STR)}] = {name}.get({e(STR)}, 0) + 1", f"{name}.setdefault({e(STR)}, {e(INT)})",
                f"{name}['q'] = 1\n{'    ' * indent}{name}['q'] += {e(INT)}",
                f"{name}['q'] = 1\n{'    ' * indent}del {name}['q']",
            ]))  # fmt: skip
        else:
            member = STR if tp == TEXTS else INT
            self.write(indent, random.choice([
                f"{name}.append({e(member)})", f"{name}.append({e(member)})", f"{name}.extend({e(tp)}[:2])",
                f"{name}.insert({random.choice([0, 1, -1])}, {e(member)})", f"{name}.reverse()", f"{name}.sort()",
                f"{name} += [{e(member)}]", f"{name}.clear()",
                f"{name}.append({e(member)})\n{'    ' * indent}{name}[{random.choice([0, -1])}] = {e(member)}",
                f"{name}.append({e(member)})\n{'    ' * indent}{name}.pop()",
                f"{name}.append({e(member)})\n{'    ' * indent}del {name}[0]",
            ]))  # fmt: skip
        return {name}

    def _effect_alone(self, names: Names, indent: int) -> set[str]:
        self.write(indent, self.random.choice([f"send({self.any(names, STR)})", f"pay({self.any(names, INT)})"]))
        return set()

    def _raise(self, names: Names, indent: int) -> set[str]:
        text = self.any(names, STR, 1)
        if self.chance(30):
            self.write(indent, f"assert {self.any(names, BOOL)}, {text}")
            return set()
        self.write(indent, f"if {self.any(names, BOOL)}:")
        kind = self.random.choice(["DeniedError", "BusyError", "ValueError", "RuntimeError", "MissingError"])
        self.write(indent + 1, f"raise {kind}({text})" if self.chance(80) else f"raise {kind}")
        return set()

    def _exit(self, names: Names, indent: int) -> set[str]:
        self.write(indent, f"if {self.any(names, BOOL)}:")
        if self.loops and self.chance(70):
            self.write(indent + 1, self.random.choice(["break", "continue"]))
        else:
            self._return(names, indent + 1)
        return set()

    def _return(self, names: Names, indent: int) -> None:
        if self.returns.startswith("tuple"):
            self.write(indent, f"return {self.any(names, STR)}, {self.any(names, INT)}")
        else:
            self.write(indent, f"return {self.any(names, self.returns)}")

    def _unpack(self, names: Names, indent: int) -> set[str]:
        first, second = self.fresh("v"), self.fresh("v")
        source, types = self.random.choice([
            (f"{self.any(names, STR)}, {self.any(names, INT)}", (STR, INT)),
            (f"({self.any(names, TEXTS)} + ['p', 'q'])[:2]", (STR, STR)),
        ])  # fmt: skip
        names |= dict(zip((first, second), types, strict=True))
        if types == (STR, STR) and self.chance(50):
            self.write(indent, f"{first}, *{second} = {source}")
            names[second] = TEXTS
        else:
            self.write(indent, f"{first}, {second} = {source}")
        return {first, second}

    def _function(self, names: Names, indent: int) -> set[str]:
        """A function in the function, which may read what is around it."""
        if indent > 2 or self.loops:
            return self._rebind(names, indent)
        name = self.fresh("f")
        takes = tuple(self.random.choice([STR, INT, TEXTS]) for _ in range(self.random.randint(1, 2)))
        params = {self.fresh("p"): tp for tp in takes}
        outer = self.returns, self.loops, dict(self.functions)
        gives = self.random.choice([STR, INT, BOOL, TEXTS])
        if self.chance(30):
            self.write(indent, f"{name} = lambda {', '.join(params)}: {self.any({**names, **params}, gives)}")
        else:
            self.returns, self.loops = gives, 0
            self.write(indent, f"def {name}({', '.join(f'{each}: {tp}' for each, tp in params.items())}) -> {gives}:")
            own = dict(params)
            self.block(own, indent + 1, self.random.randint(0, 2))
            self._return(own, indent + 1)
            self.returns, self.loops, _ = outer
        self.functions = {**outer[2], name: (takes, gives)}
        if indent > 1:
            self.functions = outer[2]
        return set()

    def _chat(self, names: Names, indent: int) -> set[str]:
        name, reply = self.fresh("h"), self.fresh("v")
        self.write(indent, f"{name} = chat()")
        self.write(indent, f"{reply}, {name} = {name}.say({self.any(names, STR, 1)})")
        if self.chance(50):
            self.write(indent, f"if {self.any(names, BOOL, 1)}:")
            self.write(indent + 1, f"{reply}, {name} = {name}.say({self.any({**names, reply: STR}, STR, 1)})")
        if self.chance(50):
            self.write(indent, f"{reply}, {name} = {name}.say({reply})")
        names[reply] = STR
        return {reply}

    def _attempt(self, names: Names, indent: int) -> set[str]:
        name = self.fresh("v")
        call = self.random.choice([f"look({self.any(names, STR, 1)})", f"str(fetch({self.any(names, INT, 1)}))"])
        self.write(indent, f"{name} = attempt(lambda: {call}, otherwise=lambda error: {self.any(names, STR, 1)})")
        names[name] = STR
        return {name}


def source(seed: int, name: str = "program") -> str:
    """The source of the program of a seed, without the header of its module."""
    return Programs(Random(seed)).program(name)
