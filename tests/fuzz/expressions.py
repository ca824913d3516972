"""Random expressions: the text of one for a type, out of the names in reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Final

STR: Final = "str"
INT: Final = "int"
BOOL: Final = "bool"
TEXTS: Final = "list[str]"
INTS: Final = "list[int]"
TABLE: Final = "dict[str, int]"
MAYBE: Final = "str | None"
ITEM: Final = "Item"
KIND: Final = "Kind"
COLOR: Final = "Color"
SET: Final = "set[str]"
TALK: Final = "a conversation"
TYPES: Final = (STR, STR, STR, INT, INT, BOOL, TEXTS, TEXTS, INTS, TABLE, MAYBE, ITEM, KIND, COLOR, SET)
WORDS: Final = ("", "a", "b c", "ab", "bug", "why?", "ümläut 漢", "x y z", "one two three", "{b}")
KINDS: Final = ("bug", "question", "other")
COLORS: Final = ("Color.RED", "Color.GREEN", "Color.BLUE")
Names = Mapping[str, str]
"""The names in reach, and their types."""


class Expressions:
    """Writes expressions. ``depth`` bounds how deep they are."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.number = 0
        self.is_pure = False
        """Whether effects are to be left out: Python's order of them is not promised there."""
        self.is_calm = False
        """Whether what may fail is to be left out."""
        self.is_async = False
        self.functions: dict[str, tuple[tuple[str, ...], str]] = {}
        """The functions in reach, and what they take and give."""

    def fresh(self, start: str) -> str:
        """A name of its own."""
        self.number += 1
        return f"{start}{self.number}"

    def chance(self, of_hundred: int) -> bool:
        return self.random.randrange(100) < of_hundred

    def any(self, names: Names, tp: str, depth: int = 2) -> str:
        """An expression of a type."""
        known = [name for name, each in names.items() if each == tp]
        if known and (depth <= 0 or self.chance(40)):
            return self.random.choice(known)
        called = [name for name, (_, gives) in self.functions.items() if gives == tp]
        if depth > 0 and called and not self.is_pure and self.chance(25):
            name = self.random.choice(called)
            return f"{name}({', '.join(self.any(names, each, depth - 1) for each in self.functions[name][0])})"
        if depth > 0 and self.chance(8):
            then, test = self.any(names, tp, depth - 1), self.any(names, BOOL, depth - 1)
            return f"({then} if {test} else {self.any(names, tp, depth - 1)})"
        return self._made(names, tp, depth)

    def _made(self, names: Names, tp: str, depth: int) -> str:
        makers: dict[str, Callable[[Names, int], list[str]]] = {
            STR: self._str, INT: self._int, BOOL: self._bool, TEXTS: self._texts, INTS: self._ints,
            TABLE: self._table, MAYBE: self._maybe, ITEM: self._item, KIND: self._kind, COLOR: self._color,
            SET: self._set,
        }  # fmt: skip
        return self.random.choice(makers[tp](names, depth))

    # A maker gives a list of all that could be written, each drawn anew; ``_few`` keeps that from growing.

    def _few(
        self, simple: list[str], names: Names, depth: int, deep: list[Callable[[Callable[..., str]], str]]
    ) -> list[str]:
        if depth <= 0:
            return simple

        def inner(tp: str) -> str:
            return self.any(names, tp, depth - 1)

        return [self.random.choice(deep)(inner)] * 4 + simple

    def _effect(self, text: str, otherwise: str) -> str:
        return otherwise if self.is_pure else text

    def _risk(self, text: str, otherwise: str) -> str:
        return otherwise if self.is_pure or self.is_calm else text

    def _new(self, names: Names, depth: int) -> str:
        """A kind that nothing is known of: a case that cannot be is refused."""
        return self._kind(names, depth)[0]

    def _str(self, names: Names, depth: int) -> list[str]:
        random = self.random
        return self._few([repr(random.choice(WORDS))], names, depth, [
            self._fstring,
            lambda e: f"say({e(STR)})",
            lambda e: f"say({e(STR)})",
            lambda e: f"({e(STR)} + {e(STR)})[:30]",
            lambda e: f"{e(STR)}.{random.choice(['upper', 'strip', 'lower', 'title', 'swapcase'])}()",
            lambda e: f"{e(STR)}.replace({random.choice(WORDS[1:5])!r}, {e(STR)})[:40]",
            lambda e: f"{e(STR)}[{random.choice([':3', '2:', '::-1', '-4:', '1:5', ':-1'])}]",
            lambda e: f"{e(STR)}[:{e(INT)} % 5]",
            lambda e: f"({e(MAYBE)} or {e(STR)})",
            lambda e: f"({e(STR)} or {e(STR)})",
            lambda e: f"({e(STR)} and {e(STR)})",
            lambda e: f"{random.choice([' ', '', ', '])!r}.join({e(TEXTS)})",
            lambda e: f'"".join({self._comprehended(names, TEXTS, depth - 1)})',
            lambda e: f"str({e(random.choice([INT, BOOL, STR]))})",
            lambda e: f"{e(ITEM)}.name",
            lambda e: f"({e(TEXTS)} + [{e(STR)}])[0]",
            lambda e: f"max([{e(STR)}, {e(STR)}])",
            lambda e: f"min({e(TEXTS)}, default={e(STR)})",
            lambda e: f"('is ' + {self._new(names, depth)})",
            lambda e: f"{e(COLOR)}.{random.choice(['value', 'name', 'value.upper()'])}",
            lambda e: f"', '.join(sorted({e(SET)}))",
            lambda e: f"framed({e(STR)}{self._options(e)})",
            lambda e: f"{e(STR)}.partition({random.choice(WORDS[1:4])!r})[{random.choice([0, 1, 2])}]",
            lambda e: f"{e(STR)}.{random.choice(['center(8)', 'ljust(5)', 'zfill(4)', 'capitalize()', 'casefold()'])}",
            lambda e: f"{e(STR)}.{random.choice(['removeprefix', 'strip', 'removesuffix'])}({e(STR)})",
            lambda e: f"({e(STR)} * {random.choice([0, 1, 2])})[:12]",
            lambda e: f"describe(text={e(STR)})",
            lambda e: f"say([user({e(STR)}), assistant({e(STR)}), user({e(STR)})])",
            lambda e: f"''.join(f'{{x[:2]!r}}/{{len(x):>2}}' for x in {e(TEXTS)} if x)",
            lambda e: f"attempt(lambda: strict({self._still(names, STR, depth)}), otherwise=lambda error: 'no')",
            lambda e: f"(lambda a, b='q': a + b)({e(STR)})",
            lambda e: f"min({e(STR)}, {e(STR)}, key=len)",
            lambda e: self._effect(f"peek({e(STR)})", e(STR)),
            lambda e: self._effect(f"send({e(STR)})", e(STR)),
            lambda e: self._risk(f"look({e(STR)})", e(STR)),
            lambda e: f"describe({e(STR)}, loud={random.choice(['True', 'False', 'True'])})",
            lambda e: f"('%s=%s' % ({e(STR)}, {e(INT)}))",
            lambda e: f"'{{}}:{{}}'.format({e(STR)}, {e(INT)})",
            lambda e: f"branch({e(BOOL)}, lambda: {e(STR)}, lambda: {e(STR)})",
            lambda e: f'switch({e(KIND)}, {{"bug": lambda: {e(STR)}, "other": lambda: {e(STR)}}}, lambda: {e(STR)})',
            lambda e: f"loop(lambda s: (s + 'ab')[-9:], {e(STR)}, until=lambda s: size(s) > 4, max=4)",
        ])  # fmt: skip

    def _fstring(self, inner: Callable[..., str]) -> str:
        parts = []
        for _ in range(self.random.randint(1, 2)):
            tp = self.random.choice([STR, STR, INT, MAYBE, BOOL])
            spec = (
                self.random.choice(["", ":03d", ":>4"])
                if tp == INT
                else self.random.choice(["", "", "!r", ":>5"])
                if tp == STR
                else ""
            )
            value = inner(tp)
            parts.append(f"{{({value}){spec}}}" if value.startswith("{") else f"{{{value}{spec}}}")
        return (
            f'f"""{self.random.choice(["", "<", "a "])}{" ".join(parts)}"""'
            if not any('"""' in each for each in parts)
            else inner(STR)
        )

    def _int(self, names: Names, depth: int) -> list[str]:
        random = self.random
        return self._few([str(random.randint(-2, 9))], names, depth, [
            lambda e: f"len({e(random.choice([STR, TEXTS, INTS, TABLE]))})",
            lambda e: f"size({e(STR)})",
            lambda e: f"({e(INT)} {random.choice(['+', '-', '*'])} {e(INT)}) % 50",
            lambda e: f"({e(INT)} {random.choice(['//', '%'])} {random.randint(2, 7)})",
            lambda e: f"sum({e(INTS)})",
            lambda e: f"{random.choice(['max', 'min'])}({e(INTS)}, default={e(INT)})",
            lambda e: f"{random.choice(['max', 'min'])}({e(INT)}, {e(INT)})",
            lambda e: f"abs({e(INT)})",
            lambda e: f"-{e(INT)}",
            lambda e: f"int({e(BOOL)})",
            lambda e: f"{e(ITEM)}.count",
            lambda e: f"{e(TABLE)}.get({e(STR)}, {e(INT)})",
            lambda e: f"{e(STR)}.count({random.choice(WORDS[1:4])!r})",
            lambda e: f"{e(TEXTS)}.count({e(STR)})",
            lambda e: f"({e(INTS)} + [{e(INT)}])[{random.choice([0, -1])}]",
            lambda e: f"sum({self._comprehended(names, INTS, depth - 1)})",
            lambda e: f"({e(INT)} or {e(INT)})",
            lambda e: self._risk(f"pay({e(INT)})", e(INT)),
            lambda e: self._risk(f"fetch({e(INT)})", e(INT)),
            lambda e: f"len(set({e(TEXTS)}))",
            lambda e: f"len({e(SET)})",
            lambda e: f"{e(STR)}.find({e(STR)})",
            lambda e: f"(ord(({e(STR)} + 'a')[0]) % 7)",
            lambda e: f"sum(v for k, v in {e(TABLE)}.items() if k)",
            lambda e: f"round({e(INT)} / {random.choice([2, 3, 4])})",
            lambda e: f"int(({e(STR)} or '0').isdigit())",
            lambda e: f"divmod({e(INT)}, {random.choice([2, 3])})[{random.choice([0, 1])}]",
            lambda e: f"({e(INT)} {random.choice(['|', '&', '^'])} {e(INT)})",
            lambda e: self._risk(f"settle({e(INT)}{self.random.choice(['', ', note=' + e(STR)])})", e(INT)),
            lambda e: f"sum(1 for x in {e(TEXTS)} if {self._with(names, 'x', STR, BOOL, depth)})",
            lambda e: f"sorted({e(INTS)} + [{e(INT)}], key=lambda x: -x)[0]",
        ])  # fmt: skip

    def _bool(self, names: Names, depth: int) -> list[str]:
        random = self.random
        return self._few([random.choice(["True", "False"])], names, depth, [
            lambda e: f"{e(INT)} {random.choice(['<', '<=', '>', '>=', '==', '!='])} {e(INT)}",
            lambda e: f"{e(STR)} {random.choice(['==', '!='])} {e(STR)}",
            lambda e: f"({random.randint(-1, 3)} < {e(INT)} <= {e(INT)})",
            lambda e: f"({e(STR)} {random.choice(['in', 'not in'])} {e(random.choice([STR, TEXTS, TABLE]))})",
            lambda e: f"({e(STR)} in {{'a', 'ab', ''}})",
            lambda e: f"({e(MAYBE)} {random.choice(['is None', 'is not None'])})",
            lambda e: f"({e(MAYBE)} == {e(STR)})",
            lambda e: f"({e(BOOL)} {random.choice(['and', 'or'])} {e(BOOL)})",
            lambda e: f"(not {e(random.choice([BOOL, STR, TEXTS, INT, MAYBE]))})",
            lambda e: f"odd({e(STR)})",
            lambda e: f"{e(STR)}.startswith({e(STR)})",
            lambda e: f"{e(STR)}.isalpha()",
            lambda e: f"bool({e(random.choice([STR, TEXTS, INT]))})",
            lambda e: f"{random.choice(['any', 'all'])}({self._comprehended(names, 'bools', depth - 1)})",
            lambda e: f"({self._new(names, depth)} == {random.choice(KINDS)!r})",
            lambda e: f"({self._new(names, depth)} in ('bug', 'other'))",
            lambda e: f"(color({e(STR)}) {random.choice(['is', '==', 'is not'])} {random.choice(COLORS)})",
            lambda e: f"({e(STR)} in {e(SET)})",
            lambda e: f"isinstance({e(MAYBE)}, str)",
            lambda e: f"({e(BOOL)} {random.choice(['==', '!=', 'is', '^'])} {e(BOOL)})",
            lambda e: f"{e(STR)}.endswith(('a', {e(STR)}))",
            lambda e: f"({e(INTS)} {random.choice(['<', '==', '>='])} {e(INTS)})",
            lambda e: f"({e(ITEM)} == {e(ITEM)})",
            lambda e: f"({e(SET)} {random.choice(['<=', '==', '>'])} {e(SET)})",
            lambda e: f"({e(INT)} < {e(INT)} <= {e(INT)})",
            lambda e: f"({e(STR)} == {e(STR)} != {e(STR)})",
            lambda e: f"({e(STR)} < {e(STR)} < {e(STR)})",
            lambda e: f"({e(TEXTS)} == {e(TEXTS)})",
        ])  # fmt: skip

    def _texts(self, names: Names, depth: int) -> list[str]:
        random = self.random
        simple = random.choice(
            ["[]" if self.chance(20) else "['']", f"[{random.choice(WORDS)!r}]", "['a', 'bb', 'c d']"]
        )
        return self._few([simple], names, depth, [
            lambda e: f"words({e(STR)})",
            lambda e: f"words({e(STR)})",
            lambda e: f"{e(STR)}.split()[:4]",
            lambda e: f"[{self._comprehended(names, TEXTS, depth)}]",
            lambda e: f"[{self._comprehended(names, TEXTS, depth)}]",
            lambda e: f"sorted({e(TEXTS)})",
            lambda e: f"sorted(set({e(TEXTS)}))",
            lambda e: f"sorted({{{self._comprehended(names, TEXTS, depth)}}})",
            lambda e: f"{e(TEXTS)}[{random.choice(['1:', ':2', '::-1', '-2:'])}]",
            lambda e: f"({e(TEXTS)} + {e(TEXTS)})[:5]",
            lambda e: f"[{e(STR)}, {e(STR)}]",
            lambda e: f"({e(TEXTS)} + [{e(STR)}])[:5]",
            lambda e: f"list({e(TABLE)})",
            lambda e: f"{e(ITEM)}.tags",
            lambda e: f"[k + str(v) for k, v in {e(TABLE)}.items()]",
            lambda e: f"map_(lambda m: {self._free(names, 'm', STR, STR, depth)}, {e(TEXTS)})",
            lambda e: f"[f'{{i}}{{w}}' for i, w in enumerate({e(TEXTS)})]",
            lambda e: f"[*{e(TEXTS)}, {e(STR)}][:5]",
            lambda e: f"[*{e(TEXTS)}, *{e(TEXTS)}][:5]",
            lambda e: f"sorted({e(SET)})",
            lambda e: f"[x if isinstance(x, str) else x.message for x in map_(strict, {e(TEXTS)}, on_error='collect')]",
            lambda e: f"list(map(lambda x: {self._with(names, 'x', STR, STR, depth)}, {e(TEXTS)}))",
            lambda e: f"[a + b for a in {e(TEXTS)}[:2] for b in {e(TEXTS)}[:2] if a != b]",
        ])  # fmt: skip

    def _with(self, names: Names, name: str, tp: str, wanted: str, depth: int) -> str:
        return self.any({**names, name: tp}, wanted, depth - 1)

    def _free(self, names: Names, name: str, tp: str, wanted: str, depth: int) -> str:
        """What is done with the items of a ``map_``, whose effects have no order."""
        outer, self.is_pure = self.is_pure, True
        made = self._with(names, name, tp, wanted, depth)
        self.is_pure = outer
        return made

    def _comprehended(self, names: Names, tp: str, depth: int) -> str:
        """``member for name in source if test``."""
        source, kind = self.random.choice([(TEXTS, STR), (INTS, INT)])
        name = self.fresh("e")
        known = {**names, name: kind}
        member = {TEXTS: STR, INTS: INT, "bools": BOOL}[tp]
        test = f" if {self.any(known, BOOL, depth - 1)}" if self.chance(40) else ""
        return f"{self.any(known, member, depth - 1)} for {name} in {self.any(names, source, depth - 1)}{test}"

    def _ints(self, names: Names, depth: int) -> list[str]:
        random = self.random
        simple = random.choice(["[]" if self.chance(20) else "[0]", "[1, 2, 3]", "[4]", "list(range(3))"])
        return self._few([simple], names, depth, [
            lambda e: f"numbers({e(STR)})",
            lambda e: f"[{self._comprehended(names, INTS, depth)}]",
            lambda e: f"sorted({e(INTS)}{random.choice(['', ', reverse=True'])})",
            lambda e: f"{e(INTS)}[{random.choice(['1:', ':2', '::-1'])}]",
            lambda e: f"[{e(INT)}, {e(INT)}]",
            lambda e: f"[a * b for a, b in zip({e(INTS)}, {e(INTS)})]",
            lambda e: f"list({e(TABLE)}.values())",
            lambda e: f"list(range({e(INT)} % 4))",
            lambda e: f"map_(lambda m: {self._free(names, 'm', STR, INT, depth)}, {e(TEXTS)})",
        ])  # fmt: skip

    def _table(self, names: Names, depth: int) -> list[str]:
        simple = self.random.choice(["{}", "{'a': 1}", "{'a': 2, 'bb': 3}"])
        return self._few([simple], names, depth, [
            lambda e: f"table({e(STR)})",
            lambda e: f"{{k: {self._with(names, 'k', STR, INT, depth)} for k in {e(TEXTS)}}}",
            lambda e: f"{{k: v for k, v in {e(TABLE)}.items() if {self._with(names, 'k', STR, BOOL, depth)}}}",
            lambda e: f"{{k: i for i, k in enumerate({e(TEXTS)}) if k}}",
            lambda e: f"{{**{e(TABLE)}, 'k': {e(INT)}}}",
            lambda e: f"({e(TABLE)} | {e(TABLE)})",
            lambda e: f"dict(zip({e(TEXTS)}, {e(INTS)}))",
            lambda e: f"{{{e(STR) if self.chance(4) else repr('key')}: {e(INT)}}}",
        ])  # fmt: skip

    def _maybe(self, names: Names, depth: int) -> list[str]:
        return self._few([f"maybe({self.any(names, STR, 0)})"], names, depth, [
            lambda e: f"maybe({e(STR)})",
            lambda e: f"({e(STR)} if {e(BOOL)} else None)",
            lambda e: f"next(({self._comprehended(names, TEXTS, depth - 1)}), None)" if self.chance(4) else e(MAYBE),
        ])  # fmt: skip

    def _item(self, names: Names, depth: int) -> list[str]:
        return self._few([f"item({self.any(names, STR, 0)})"], names, depth, [
            lambda e: f"item({e(STR)})",
            lambda e: f"Item({e(STR)}, count={e(INT)}, tags={e(TEXTS)})",
        ])  # fmt: skip

    def _kind(self, names: Names, depth: int) -> list[str]:
        return [f"kind({self.any(names, STR, depth - 1)})"]

    def _color(self, names: Names, depth: int) -> list[str]:
        return [f"color({self.any(names, STR, depth - 1)})"] * 3 + [self.random.choice(COLORS)]

    def _set(self, names: Names, depth: int) -> list[str]:
        return self._few([f"letters({self.any(names, STR, 0)})"], names, depth, [
            lambda e: f"set({e(TEXTS)})",
            lambda e: f"letters({e(STR)})",
            lambda e: f"{{{self._comprehended(names, TEXTS, depth)}}}",
            lambda e: f"({e(SET)} {self.random.choice('|&-^')} {e(SET)})",
            lambda e: f"{{{e(STR)}, {e(STR)}}}" if self.chance(10) else e(SET),
        ])  # fmt: skip

    def _options(self, inner: Callable[..., str]) -> str:
        """Some of the options of a workflow, others by default."""
        options = [f"times={self.random.choice(['0', '1', '2', 'len([1, 2])'])}", f"mark={inner(STR)}"]
        return "".join(f", {each}" for each in options if self.chance(50))

    def _still(self, names: Names, tp: str, depth: int) -> str:
        """An expression without effects."""
        outer, self.is_pure = self.is_pure, True
        made = self.any(names, tp, depth - 1)
        self.is_pure = outer
        return made
