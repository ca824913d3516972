"""Random programs: the source of a workflow for a seed."""

from __future__ import annotations

from random import Random
from typing import Final

from tests.fuzz.assigning import Names
from tests.fuzz.blocks import Blocks
from tests.fuzz.expressions import BOOL, INT, INTS, ITEM, MAYBE, STR, TABLE, TALK, TEXTS

HEADER: Final = "from __future__ import annotations\nfrom tests.fuzz.surface import *\n"
PARAMETERS: Final = {"text": STR, "n": INT, "texts": TEXTS, "flag": BOOL}
INPUTS: Final = (
    ("a bug?", 3, ["ab", "c", ""], True), ("", 0, [], False), ("ümläut b", 8, ["one", "two x", "b", "a"], True),
    ("xy", 5, ["a"], False),
)  # fmt: skip


class Programs(Blocks):
    """Writes one program."""

    def program(self, name: str) -> str:
        """The source of a function."""
        self.returns = self.random.choice([STR, INT, TEXTS, INTS, BOOL, TABLE, MAYBE, ITEM, f"tuple[{STR}, {INT}]"])
        self.is_async = self.chance(8)
        parameters = ", ".join(f"{each}: {tp}" for each, tp in PARAMETERS.items())
        names = dict(PARAMETERS)
        if self.chance(10):
            parameters += ", deep: Static[bool] = " + self.random.choice(["True", "False"])
            names["deep"] = BOOL
            self.kept = {"deep"}
        self.lines = [f"{'async ' * self.is_async}def {name}({parameters}) -> {self.returns}:"]
        self.block(names, 1, self.random.randint(1, 4), top=True)
        self._return(names, 1)
        return "\n".join(self.lines) + "\n"

    def statement(self, names: Names, indent: int) -> set[str]:
        """Write one of any kind; see :meth:`.blocks.Blocks.statement`."""
        made = [
            (16, self._assign), (7, self._rebind), (6, self._augment), (12, self._if), (9, self._for), (3, self._while),
            (8, self._try), (6, self._match), (8, self._change), (5, self._effect_alone), (3, self._raise),
            (3, self._exit), (4, self._unpack), (4, self._function), (2, self._chat), (2, self._attempt),
            (2, self._both), (2, self._alias), (2, self._strict), (2, self._parallel), (3, self._talk),
            (2, self._await), (2, self._sleep),
        ]  # fmt: skip
        if indent > 4:
            nested = (self._if, self._for, self._while, self._try, self._match, self._parallel, self._strict)
            made = [each for each in made if each[1] not in nested]
        (chosen,) = self.random.choices([each for _, each in made], [weight for weight, _ in made])
        return chosen(names, indent)

    def _function(self, names: Names, indent: int) -> set[str]:
        """A function in the function, which may read what is around it."""
        if indent > 2 or self.turns:
            return self._rebind(names, indent)
        name = self.fresh("f")
        takes = tuple(self.random.choice([STR, INT, TEXTS]) for _ in range(self.random.randint(1, 2)))
        params = {self.fresh("p"): tp for tp in takes}
        outer = self.returns, self.loops, dict(self.functions)
        around = self.may_return, self.is_async, self.turns
        self.may_return, self.is_async, self.turns = True, False, 0
        gives = self.random.choice([STR, INT, BOOL, TEXTS])
        if self.chance(30):
            self.write(indent, f"{name} = lambda {', '.join(params)}: {self.any({**names, **params}, gives)}")
        else:
            self.returns, self.loops = gives, 0
            self.write(indent, f"def {name}({', '.join(f'{each}: {tp}' for each, tp in params.items())}) -> {gives}:")
            own, kept = dict(params), self.kept
            shared = self._of(names, INT, STR) if self.chance(25) else None
            if shared is None and self.chance(50):  # it reads what is around it
                own, self.kept = {**names, **params}, kept | set(names)
            if shared is not None:
                self.write(indent + 1, f"nonlocal {shared}")
                self.write(indent + 1, f"{shared} = ({self.any({**own, shared: names[shared]}, names[shared], 1)})")
            self.block(own, indent + 1, self.random.randint(0, 2))
            self._return(own, indent + 1)
            self.kept = kept
            self.returns, self.loops, _ = outer
        self.may_return, self.is_async, self.turns = around
        self.functions = {**outer[2], name: (takes, gives)}
        if indent > 1:
            self.functions = outer[2]
        return set()

    def _await(self, names: Names, indent: int) -> set[str]:
        if not self.is_async:
            return self._assign(names, indent)
        name, called = self.fresh("v"), "ping"
        if self.chance(40) and indent == 1:
            called = self.fresh("f")
            self.write(indent, f"async def {called}(p: str) -> str:")
            self.write(indent + 1, f"if {self.any({**names, 'p': STR}, BOOL, 1)}:")
            self.write(indent + 2, f"p = await ping({self.any({**names, 'p': STR}, STR, 1)})")
            self.write(indent + 1, f"return {self.any({**names, 'p': STR}, STR, 1)}")
        self.write(indent, f"{name} = await {called}({self.any(names, STR)})")
        names[name] = STR
        return {name}

    def _chat(self, names: Names, indent: int) -> set[str]:
        name, reply = self.fresh("h"), self.fresh("v")
        self.write(indent, f"{name} = chat()")
        self.write(indent, f"{reply}, {name} = {name}.say({self.any(names, STR, 1)})")
        names[reply], names[name] = STR, TALK
        return {reply, name}

    def _talk(self, names: Names, indent: int) -> set[str]:
        """A turn of a conversation that is there already, which loops and branches hand on."""
        name = self._of(names, TALK)
        if name is None:
            return self._chat(names, indent)
        reply = self.fresh("v")
        self.write(indent, f"{reply}, {name} = {name}.say({self.any(names, STR, 1)})")
        names[reply] = STR
        return {reply, name}

    def _attempt(self, names: Names, indent: int) -> set[str]:
        name = self.fresh("v")
        call = self.random.choice([f"look({self.any(names, STR, 1)})", f"str(fetch({self.any(names, INT, 1)}))"])
        self.write(indent, f"{name} = attempt(lambda: {call}, otherwise=lambda error: {self.any(names, STR, 1)})")
        names[name] = STR
        return {name}


def source(seed: int, name: str = "program") -> str:
    """The source of the program of a seed, without the header of its module."""
    return Programs(Random(seed)).program(name)
