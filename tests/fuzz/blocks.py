"""Random blocks: conditions, loops, failures, and what leaves them early."""

from __future__ import annotations

import re
from abc import abstractmethod
from random import Random
from typing import Final

from tests.fuzz.assigning import Assigning, Names
from tests.fuzz.expressions import (
    BOOL,
    COLOR,
    COLORS,
    INT,
    INTS,
    ITEM,
    KIND,
    KINDS,
    MAYBE,
    SET,
    STR,
    TABLE,
    TALK,
    TEXTS,
    TYPES,
)  # fmt: skip

CAUGHT: Final = (
    "DeniedError", "MissingError", "BusyError", "ValueError", "KeyError", "(KeyError, BusyError)", "Exception",
    "LookupError",
)  # fmt: skip
ANEW: Final = {
    STR: "'t'", INT: "4", TEXTS: "['t', 'u']", BOOL: "True", INTS: "[7]", TABLE: "{'t': 1}", MAYBE: "maybe('t')",
    ITEM: "item('t')", KIND: "kind('t')", COLOR: "color('t')", SET: "{'t'}",
    TALK: "chat()",
}  # fmt: skip
"""What names are given behind a ``try`` that they may have been bound in."""


class Blocks(Assigning):
    """Writes statements that have blocks of statements in them."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.returns = STR
        self.may_return = True
        self.loops = 0
        """How many loops are around that may be left."""
        self.budget = random.choice([3, 4, 5, 6, 7, 9, 14])
        """How many statements there may still be."""

    @abstractmethod
    def statement(self, names: Names, indent: int) -> set[str]:
        """Write one; the names that it binds or changes. ``names`` gets the new ones."""

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

    def _if(self, names: Names, indent: int) -> set[str]:
        test = self.any(names, self.random.choice([BOOL, BOOL, BOOL, STR, TEXTS, MAYBE, INT]))
        within: Names = {}
        if self.chance(10):
            found, taken = self._of(names, MAYBE), self.fresh("w")
            if found is None or self.chance(40):
                self.write(indent, f"if {self.any(names, BOOL, 1)} and ({taken} := {self.any(names, STR)}):")
                within = {taken: STR}
            else:
                self.write(indent, f"if {found} and len({found}) > {self.random.randint(0, 2)}:")
                within = {found: STR}
        elif self.chance(8):
            taken = self.fresh("w")
            self.write(indent, f"if ({taken} := {self.any(names, STR)}):")
            names[taken] = STR
        else:
            self.write(indent, f"if {test}:")
        new = {name: tp for name, tp in [(self.fresh("v"), self.random.choice(TYPES))] if self.chance(25)}
        assigned = self._arm({**names, **within}, indent + 1, new) & set(names)
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
        self.turns += 1
        assigned = self.inner(names, indent)
        self.loops -= 1
        self.turns -= 1
        return assigned

    def _for(self, names: Names, indent: int) -> set[str]:
        item, own = self.fresh("i"), dict(names)
        source, tp = self.random.choice([
            (f"{self.any(names, TEXTS, 1)}[:6]", STR), (f"list({self.any(names, TEXTS, 1)})", STR),
            (f"{self.any(names, INTS, 1)}[:6]", INT),
            (f"range({self.random.randint(1, 4)})", INT), (f"range({self.any(names, INT, 1)} % 4)", INT),
            (f"{self.any(names, STR, 1)}[:3]", STR), (self.any(names, TABLE), STR),
            (f"sorted({self.any(names, SET)})", STR), (f"reversed({self.any(names, TEXTS)})", STR),
        ])  # fmt: skip
        target = item
        if self.chance(15):
            extra = self.fresh("i")
            target, source, own[extra], tp = self.random.choice([
                (f"{item}, {extra}", f"{self.any(names, TABLE, 1)}.items()", INT, STR),
                (f"{item}, {extra}", f"zip({self.any(names, TEXTS, 1)}, {self.any(names, INTS, 1)})", INT, STR),
                (f"{extra}, {item}", f"zip({self.any(names, TEXTS, 1)}, {self.any(names, TEXTS, 1)}[:2])", STR, STR),
                (f"_, ({item}, {extra})", f"enumerate({self.any(names, TABLE, 1)}.items())", INT, STR),
            ])  # fmt: skip
        elif self.chance(20):
            extra = self.fresh("i")
            target, source = f"{extra}, {item}", f"enumerate({source})"
            own[extra] = INT
        own[item] = tp
        self.write(indent, f"for {target} in {source}:")
        outer, self.kept = self.kept, self.kept | {each for each in names if re.search(rf"\b{each}\b", source)}
        assigned = self._looped(own, indent + 1) & set(names)
        self.kept = outer
        if self.chance(15):
            self.write(indent, "else:")
            assigned |= self.inner(names, indent + 1)
        return assigned

    def _while(self, names: Names, indent: int) -> set[str]:
        count, left = self.fresh("c"), None
        self.write(indent, f"{count} = {self.random.choice(['0', 'size(text) % 3', 'n % 2'])}")
        if self.chance(30):
            self.write(indent, "while True:")
            self.write(indent + 1, f"{count} += 1")
            self.write(indent + 1, f"if {count} > {self.random.randint(1, 3)} or {self.any(names, BOOL, 1)}:")
            if self.chance(40):
                left = self.fresh("v")
                self.write(indent + 2, f"{left} = {self.any(names, STR, 1)}")
            self.write(indent + 2, "break")
        else:
            test = f" and {self.any(names, BOOL, 1)}" if self.chance(60) else ""
            self.write(indent, f"while {count} < {self.random.randint(1, 4)}{test}:")
            self.write(indent + 1, f"{count} += 1")
        assigned = self._looped({**names}, indent + 1) & set(names)
        if self.chance(20):
            self.write(indent, "else:")
            assigned |= self.inner(names, indent + 1)
        names[count] = INT
        if left is not None:
            names[left] = STR
        return assigned | {count}

    def _try(self, names: Names, indent: int) -> set[str]:
        """Either nothing leaves it early, or it binds no name of what is around it: nobody knows which hold what."""
        outer = self.kept, self.loops, self.may_return
        if self.chance(60):
            self.loops, self.may_return = 0, False
        else:
            self.kept = self.kept | set(names)
        changed = self._tried(names, indent)
        self.kept, self.loops, self.may_return = outer
        return changed

    def _tried(self, names: Names, indent: int) -> set[str]:
        self.write(indent, "try:")
        own = dict(names)
        assigned = self.block(own, indent + 1, self.random.randint(1, 3)) & set(names)
        risky = self.random.choice([(STR, "look({})"), (INT, "pay({})"), (INT, "fetch({})")])
        if self.is_calm:
            risky = STR, "send({})"
        name = self._of(names, risky[0])
        call = risky[1].format(self.any(names, risky[0], 1))
        only = not assigned
        self.write(indent + 1, call if name is None else f"{name} = {call}")
        kept = names if only else {each: tp for each, tp in names.items() if each not in assigned}
        changed = assigned | ({name} if name is not None else set())
        source = {each: tp for each, tp in names.items() if each not in changed}
        kinds = self.random.sample(CAUGHT, self.random.randint(0, 3))
        if "Exception" in kinds:
            kinds = [each for each in kinds if each != "Exception"] + ["Exception"]
        for each in kinds:
            error, inside = self.fresh("x"), dict(kept)
            has_name = self.chance(50)
            self.write(indent, f"except {each} as {error}:" if has_name else f"except {each}:")
            if has_name and self.chance(40) and (found := self._of(inside, STR)) is not None and found not in changed:
                self.write(indent + 1, f"{found} = f'{{{error}}}'[:20]")
                changed.add(found)
            changed |= self.inner(inside, indent + 1, set() if only else changed)
            if self.lines[-1].strip() != "raise" and self.chance(12):
                again = f"raise RuntimeError({self.any(source, STR, 1)})" if self.chance(40) else "raise"
                self.write(indent + 1, f"{again} from {error}" if has_name and again != "raise" else again)
        if kinds and self.chance(25):
            self.write(indent, "else:")
            changed |= self.inner(names, indent + 1)
        if not kinds or self.chance(35):
            self.write(indent, "finally:")
            source = {each: tp for each, tp in names.items() if each not in changed}
            if self.chance(25) and not self.is_calm:
                self.write(indent + 1, "try:")
                self.write(indent + 2, f"look({self.any(source, STR, 1)})")
                self.write(indent + 1, f"except {self.random.choice(CAUGHT)}:")
                self.write(indent + 2, f"send({self.any(source, STR, 1)})")
            else:
                self.write(indent + 1, f"send({self.any(source, STR, 1)})")
        if kinds and not only:
            for each in sorted(changed):
                self.write(indent, f"{each} = {ANEW[names[each]]}")
        return changed

    def _strict(self, names: Names, indent: int) -> set[str]:
        """A pure tool that may fail, with nothing beside it: pure tools keep no order."""
        name, source = self.fresh("v"), self._still(names, STR, 2)
        self.write(indent, "try:")
        self.write(indent + 1, f"{name} = strict({source})")
        self.write(indent, f"except {self.random.choice(['MissingError', 'LookupError', 'Exception'])}:")
        self.write(indent + 1, f"{name} = {self.any(names, STR, 1)}")
        names[name] = STR
        return {name}

    def _parallel(self, names: Names, indent: int) -> set[str]:
        """Effects without an order, none of which fails."""
        self.write(indent, "with parallel():")
        outer = self.is_calm, self.loops, self.may_return
        self.is_calm, self.loops, self.may_return = True, 0, False
        name = self.fresh("v")
        for _ in range(self.random.randint(1, 2)):
            self.write(indent + 1, f"send({self.any(names, STR, 1)})")
        self.write(indent + 1, f"{name} = {self.random.choice(['peek', 'send', 'say'])}({self.any(names, STR, 1)})")
        self.is_calm, self.loops, self.may_return = outer
        names[name] = STR
        return {name}

    def _match(self, names: Names, indent: int) -> set[str]:
        tp = self.random.choice([KIND, KIND, COLOR, COLOR, STR, INT, MAYBE, ITEM])
        subject = (
            self._new(names, 2)
            if tp == KIND
            else f"color({self.any(names, STR, 1)})"
            if tp == COLOR
            else self.any(names, tp, 1)
        )
        self.write(indent, f"match {subject}:")
        assigned: set[str] = set()
        cases = {
            KIND: [f'"{each}"' for each in KINDS] + ['"bug" | "other"'],
            COLOR: [*COLORS, "Color.RED | Color.BLUE"],
            STR: ['"a"', '"b" | ""', '"ab"'],
            INT: ["0", "1 | 2", "3", "-1"],
            MAYBE: ["None", '"a"', "str()"],
            ITEM: ["Item(count=2)", 'Item(name="a")', "Item(count=1 | 0)"],
        }[tp]
        some = self.random.sample(cases, self.random.randint(1, min(3, len(cases))))
        if tp in (KIND, COLOR) and any("|" in each for each in some):  # a case that cannot be is refused
            some = [each for each in some if "|" in each]
        if tp == ITEM and self.chance(40):
            first, second = self.fresh("m"), self.fresh("m")
            self.write(
                indent + 1, f"case Item(name={first}, count={second}) if {self.any({**names, second: INT}, BOOL, 1)}:"
            )
            assigned |= self.inner({**names, first: STR, second: INT}, indent + 2) & set(names)
        for case in some:
            guard = f" if {self.any(names, BOOL, 1)}" if self.chance(25) else ""
            self.write(indent + 1, f"case {case}{guard}:")
            assigned |= self.inner(names, indent + 2)
        if self.chance(70):
            taken = self.fresh("m")
            captures = self.chance(40)
            self.write(indent + 1, f"case {taken}:" if captures else "case _:")
            assigned |= self.inner({**names, taken: tp} if captures else names, indent + 2) & set(names)
        return assigned

    def _effect_alone(self, names: Names, indent: int) -> set[str]:
        if self.is_calm or self.chance(50):
            self.write(indent, f"send({self.any(names, STR)})")
        else:
            self.write(indent, f"pay({self.any(names, INT)})")
        return set()

    def _sleep(self, names: Names, indent: int) -> set[str]:
        self.write(indent, f"sleep({self.any(names, INT)} % 3 * 1000)")
        return set()

    def _raise(self, names: Names, indent: int) -> set[str]:
        if self.is_calm:
            return self._effect_alone(names, indent)
        text = self.any(names, STR, 1)
        if self.chance(30):
            self.write(indent, f"assert {self.any(names, BOOL)}, {text}")
            return set()
        self.write(indent, f"if {self.any(names, BOOL)}:")
        kind = self.random.choice(["DeniedError", "BusyError", "ValueError", "RuntimeError", "MissingError"])
        self.write(indent + 1, f"raise {kind}({text})" if self.chance(80) else f"raise {kind}")
        return set()

    def _exit(self, names: Names, indent: int) -> set[str]:
        exits = (["break", "continue"] * 2 if self.loops else []) + (["return"] if self.may_return else [])
        if not exits:
            return self._effect_alone(names, indent)
        self.write(indent, f"if {self.any(names, BOOL)}:")
        chosen = self.random.choice(exits)
        if chosen == "return":
            self._return(names, indent + 1)
        else:
            self.write(indent + 1, chosen)
        return set()

    def _return(self, names: Names, indent: int) -> None:
        if self.returns.startswith("tuple"):
            self.write(indent, f"return {self.any(names, STR)}, {self.any(names, INT)}")
        else:
            self.write(indent, f"return {self.any(names, self.returns)}")
