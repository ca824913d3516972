"""Random assignments and changes."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.fuzz.expressions import BOOL, INT, INTS, SET, STR, TABLE, TEXTS, TYPES, Expressions

Names = dict[str, str]
COPIES: Final = {TEXTS: "list({})", INTS: "list({})", TABLE: "dict({})", SET: "set({})"}
"""How to copy what can be changed: two names of one object are refused where one of them changes."""


class Assigning(Expressions):
    """Writes statements that bind names or change what they hold."""

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.lines: list[str] = []
        self.turns = 0
        """How many loops are around."""
        self.kept: set[str] = set()
        """Names that are not to be bound or changed: loops go through them, or nobody would know what they hold."""

    def write(self, indent: int, line: str) -> None:
        self.lines.append("    " * indent + line)

    def _assign(self, names: Names, indent: int) -> set[str]:
        tp, name = self.random.choice(TYPES), self.fresh("v")
        if self.chance(4):
            item, taken = self.fresh("i"), self.fresh("w")
            test = f"({taken} := {self.any({**names, item: STR}, STR, 1)})"
            self.write(indent, f"{name} = [{taken} + {item} for {item} in {self.any(names, TEXTS, 1)} if {test}]")
            names[name] = TEXTS
            return {name}
        value = self.any(names, tp)
        if tp in COPIES and value in names and self.chance(93):  # two names for one object may not be changed
            value = COPIES[tp].format(value)
        if self.chance(5):
            other = self.fresh("w")
            value = f"({other} := {value})"
            names[other] = tp
            if tp in COPIES:
                value = COPIES[tp].format(value)
        if tp not in COPIES and self.chance(6):
            twin = self.fresh("v")
            self.write(indent, f"{twin} = {name} = {value}")
            names[twin] = tp
        else:
            self.write(indent, f"{name} = {value}")
        names[name] = tp
        return {name}

    def _of(self, names: Names, *types: str) -> str | None:
        known = [name for name, tp in names.items() if tp in types and name not in self.kept]
        return self.random.choice(known) if known else None

    def _rebind(self, names: Names, indent: int) -> set[str]:
        name = self._of(names, *TYPES)
        if name is None:
            return self._assign(names, indent)
        value = self.any(names, names[name])
        if names[name] in COPIES and value in names:
            value = COPIES[names[name]].format(value)
        if self.turns and names[name] in (STR, TEXTS, INTS):
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

    def _unpack(self, names: Names, indent: int) -> set[str]:
        first, second, third = self.fresh("v"), self.fresh("v"), self.fresh("v")
        target, source, made = self.random.choice([
            ("{}, {}", f"{self.any(names, STR)}, {self.any(names, INT)}", (STR, INT)),
            ("{}, {}", f"({self.any(names, TEXTS)} + ['p', 'q'])[:2]", (STR, STR)),
            ("{}, *{}", f"({self.any(names, TEXTS)} + ['p', 'q'])[:3]", (STR, TEXTS)),
            ("{}, *{}, {}", f"[*{self.any(names, TEXTS)}, 'p', 'q']", (STR, TEXTS, STR)),
            ("*{}, {}", f"{self.any(names, INTS)} + [{self.any(names, INT)}]", (INTS, INT)),
            ("{}, ({}, {})", f"{self.any(names, INT)}, ({self.any(names, STR)}, {self.any(names, BOOL)})",
             (INT, STR, BOOL)),
        ])  # fmt: skip
        new = (first, second, third)[: len(made)]
        self.write(indent, f"{target.format(*new)} = {source}")
        names |= dict(zip(new, made, strict=True))
        return set(new)

    def _change(self, names: Names, indent: int) -> set[str]:
        name = self._of(names, TEXTS, INTS, TABLE, SET)
        if name is None:
            return self._rebind(names, indent)
        tp, random, last = names[name], self.random, self.fresh("v")

        def e(wanted: str) -> str:
            return f"({self.any(names, wanted, 1)})[:9]" if wanted == STR else self.any(names, wanted, 1)

        if tp == SET:
            self.write(indent, random.choice([
                f"{name}.add({e(STR)})", f"{name}.discard({e(STR)})", f"{name} |= {e(SET)}", f"{name} -= {e(SET)}",
                f"{name}.update({e(TEXTS)})",
            ]))  # fmt: skip
        elif tp == TABLE:
            if self.chance(15):
                self.write(indent, f"{last} = {name}.pop({e(STR)}, {e(INT)})")
                names[last] = INT
                return {name, last}
            self.write(indent, random.choice([
                f"{name}[{e(STR)}] = {e(INT)}", f"{name}.update({e(TABLE)})", f"{name}.pop({e(STR)}, None)",
                f"{name}[{e(STR)}] = {name}.get({e(STR)}, 0) + 1", f"{name}.setdefault({e(STR)}, {e(INT)})",
                f"{name}['q'] = 1\n{'    ' * indent}{name}['q'] += {e(INT)}",
                f"{name}['q'] = 1\n{'    ' * indent}del {name}['q']",
            ]))  # fmt: skip
        else:
            member = STR if tp == TEXTS else INT
            if self.chance(15):
                self.write(indent, f"{name}.append({e(member)})")
                self.write(indent, f"{last} = {name}.pop({random.choice(['', '0', '-1'])})")
                names[last] = member
                return {name, last}
            self.write(indent, random.choice([
                f"{name}.append({e(member)})", f"{name}.append({e(member)})", f"{name}.extend({e(tp)}[:2])",
                f"{name}.insert({random.choice([0, 1, -1])}, {e(member)})", f"{name}.reverse()", f"{name}.sort()",
                f"{name} += [{e(member)}]", f"{name}.clear()",
                f"{name}.append({e(member)})\n{'    ' * indent}{name}[{random.choice([0, -1])}] = {e(member)}",
                f"{name}.append({e(member)})\n{'    ' * indent}{name}.pop()",
                f"{name}.append({e(member)})\n{'    ' * indent}del {name}[0]",
            ]))  # fmt: skip
        return {name}

    def _alias(self, names: Names, indent: int) -> set[str]:
        """Two names of one object, one of which is changed, where that may be."""
        name = self._of(names, TEXTS)
        if name is None or indent > 1:
            return self._change(names, indent)
        other = self.fresh("v")
        self.write(indent, f"{other} = [{self.any(names, STR, 1)}, 'z']")
        self.write(indent, f"{name} = {other}" if self.chance(3) else f"{name} = list({other})")
        self.write(indent, f"{other}.append({self.any(names, STR, 1)})")
        names[other] = TEXTS
        return {name, other}
