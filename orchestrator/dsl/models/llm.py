"""Model calls: ``llm`` for one prompt, ``chat`` for a conversation, ``ask`` for a question to a human."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypedDict, TypeVar, Unpack, cast, overload

from orchestrator.dsl.declared.policy import BudgetLike, Opts, RetryLike, TimeoutLike, is_count, merged
from orchestrator.dsl.logprobs import Logprobs, Scored
from orchestrator.dsl.models.messages import Message, Reply, prompted
from orchestrator.dsl.models.offered import Offered, offered, tools_of
from orchestrator.dsl.options import known_options, option, take_policies
from orchestrator.dsl.sampling import CONSTRAINTS, Sampling, sampling_opts
from orchestrator.dsl.symbol import Symbol
from orchestrator.dsl.tool import Tool
from orchestrator.dsl.tracing.constants import is_symbolic, shown
from orchestrator.dsl.tracing.lifting import feed, feed_text
from orchestrator.dsl.tracing.tracer import Result, Tracer, Value, require_tracer
from orchestrator.dsl.types.bounds import Length
from orchestrator.dsl.types.typing import (
    TypeForm,
    decodable,
    is_type_form,
    json_schema,
    list_of,
    literal_of,
    literals_of,
    type_string,
)
from orchestrator.errors import TraceError

if TYPE_CHECKING:
    from orchestrator.dsl.symbol import Each

T = TypeVar("T")
LATE: Final = ("system", "model", "temperature")
"""Options that may be values: operands of the op, behind the conversation, in this order."""


class CallOptions(Sampling, total=False):
    """Everything ``llm`` and ``Chat.say`` take besides the prompt, the type and the number of samples.

    ``at_least=n`` is for ``samples``: so many of them must fit the type in the end, and the others are left out, with
    a warning. Without it all must. ``choice``, ``regex`` and ``grammar`` bound the text of the reply: it is one of
    these texts, matches the regular expression, or is of the grammar. ``after`` is a value, or several, that the call
    waits for and does not take.
    """

    choice: Sequence[str] | None
    regex: str | None
    grammar: str | None
    at_least: int | None
    name: str | None
    retry: RetryLike
    timeout: TimeoutLike
    budget: BudgetLike
    after: Any


class LlmOptions(CallOptions, total=False):
    """:class:`CallOptions` and the system prompt of this call alone.

    ``tool_choice`` is ``"auto"``, ``"none"``, ``"required"`` or the name of a tool, of the ``tools=`` of the call.
    """

    system: str | None
    tool_choice: str | None


class _AllOptions(LlmOptions, total=False):
    tools: Any
    deps: Any
    logprobs: int | None


Prompt = str | Message | Mapping[str, Any] | Sequence[Message | Mapping[str, Any]]
"""What a model is asked: a text, which the user says, or messages; dicts are messages in OpenAI's words."""
Tools = Sequence[Tool[..., Any] | Callable[..., Any]]
Deps = Mapping[str, Any] | Sequence[str]
"""Parameters that no model sees, by name."""


class AskOptions(TypedDict, total=False):
    """Policies of a question to a human."""

    name: str | None
    retry: RetryLike
    timeout: TimeoutLike
    budget: BudgetLike
    after: Any


class Turn(NamedTuple, Generic[T]):
    """What ``Chat.say`` returns: the reply, and the conversation including it."""

    reply: T
    chat: Chat


class Turns(NamedTuple, Generic[T]):
    """What ``Chat.say(samples=n)`` returns: n replies, and n conversations that share everything up to there."""

    replies: Each[T]
    chats: Each[Chat]


class ScoredTurn(NamedTuple, Generic[T]):
    """What ``Chat.say(logprobs=n)`` returns."""

    reply: T
    chat: Chat
    logprobs: Logprobs


class Chat(Symbol[Any]):
    """A conversation. It is immutable: each turn gives a new one, and the old one may be continued differently."""

    __slots__ = ()

    @property
    def messages(self) -> list[Message]:
        """All its messages, the system prompt first if there is one."""
        return self._tracer.builtin("messages", {"chat": self}, list_of(Message))  # type: ignore[return-value]

    @overload
    def say(self, prompt: Prompt, *, tools: Tools, deps: Deps = ..., **options: Unpack[LlmOptions]) -> Turn[Reply]: ...
    @overload
    def say(self, prompt: Prompt, *, logprobs: int, **options: Unpack[LlmOptions]) -> ScoredTurn[str]: ...
    @overload
    def say(
        self, prompt: Prompt, *, logprobs: int, returns: type[T], **options: Unpack[LlmOptions]
    ) -> ScoredTurn[T]: ...
    @overload
    def say(self, prompt: Prompt, **options: Unpack[LlmOptions]) -> Turn[str]: ...
    @overload
    def say(self, prompt: Prompt, *, returns: type[T], **options: Unpack[LlmOptions]) -> Turn[T]: ...
    @overload
    def say(self, prompt: Prompt, *, returns: type[T], samples: int, **options: Unpack[LlmOptions]) -> Turns[T]: ...
    @overload
    def say(self, prompt: Prompt, *, samples: int, **options: Unpack[LlmOptions]) -> Turns[str]: ...
    def say(self, prompt: Any, *, returns: Any = str, samples: int = 1, **options: Any) -> Any:
        """One turn and the model's reply to it; takes the options of :func:`llm`.

        ``system`` stands in the place of the conversation's system prompt for this turn alone.
        """
        given = _in_conversation(options)
        reply, chat, *scores = _generate(self._tracer, prompt, self, returns, samples, given)
        if scores:
            return ScoredTurn(reply, chat, scores[0])
        return Turns(reply, chat) if is_count(samples) and samples > 1 else Turn(reply, chat)


def _in_conversation(options: Any) -> Any:
    """The options of a turn, whose model is the conversation's unless it names another."""
    return options if options.get("model") is not None else {**options, "model": "default"}


def chat(system: str | None = None, model: str | None = None, *, messages: Prompt | None = None) -> Chat:
    """A conversation with a system prompt, and with ``messages`` that it begins with, such as ``earlier.messages``.

    ``model`` answers unless a turn names another.
    """
    return _chat(require_tracer("chat"), system, model, messages)


@overload
def llm(
    prompt: Prompt = ..., *, messages: Prompt = ..., tools: Tools, deps: Deps = ..., **options: Unpack[LlmOptions]
) -> Reply: ...
@overload
def llm(
    prompt: Prompt = ..., *, messages: Prompt = ..., logprobs: int, **options: Unpack[LlmOptions]
) -> Scored[str]: ...
@overload
def llm(
    prompt: Prompt = ..., *, messages: Prompt = ..., logprobs: int, returns: type[T], **options: Unpack[LlmOptions]
) -> Scored[T]: ...
@overload
def llm(
    prompt: Prompt = ..., *, messages: Prompt = ..., logprobs: int, samples: int, **options: Unpack[LlmOptions]
) -> Scored[Each[str]]: ...
@overload
def llm(prompt: Prompt = ..., *, messages: Prompt = ..., **options: Unpack[LlmOptions]) -> str: ...
@overload
def llm(prompt: Prompt = ..., *, messages: Prompt = ..., returns: type[T], **options: Unpack[LlmOptions]) -> T: ...
@overload
def llm(
    prompt: Prompt = ..., *, messages: Prompt = ..., returns: type[T], samples: int, **options: Unpack[LlmOptions]
) -> Each[T]: ...
@overload
def llm(prompt: Prompt = ..., *, messages: Prompt = ..., samples: int, **options: Unpack[LlmOptions]) -> Each[str]: ...
def llm(prompt: Any = None, *, messages: Any = None, returns: Any = str, samples: int = 1, **options: Any) -> Any:
    """Ask a model once: with a text, or with messages, ``llm([system("Be brief."), user(f"Why {x}?")])``.

    ``returns`` is the type of the reply; anything but ``str`` is decoded under its JSON schema. ``samples=n`` gives a
    list of n replies to one prompt, whose KV cache they share. ``messages=`` is another word for a prompt of messages.
    With ``tools`` the reply is a :class:`~.messages.Reply`: a text, or calls; what ``deps`` names is
    hidden from the model. With ``logprobs=n`` the result is :class:`~orchestrator.dsl.logprobs.Scored`: the reply, and
    how likely each of its tokens was, with n alternatives.
    """
    tracer = require_tracer("llm")
    if (prompt is None) == (messages is None):
        given = "a prompt and messages=" if prompt is not None else "no prompt"
        fix = "llm takes one of the two; chat(messages=…) begins a conversation that a prompt can follow"
        return tracer.report("ORCH-D041", f"llm gets {given}", fix=fix)
    system = options.pop("system", None)
    context = None if system is None else _chat(tracer, system, None)
    reply, _, *scores = _generate(tracer, messages if prompt is None else prompt, context, returns, samples, options)
    return Scored(reply, scores[0]) if scores else reply


@overload
def ask(question: str, *, choices: Sequence[str] | None = None, **policy: Unpack[AskOptions]) -> str: ...
@overload
def ask(
    question: str, *, returns: type[T], choices: Sequence[str] | None = None, **policy: Unpack[AskOptions]
) -> T: ...
def ask(
    question: Any, *, returns: Any = str, choices: Sequence[str] | None = None, **policy: Unpack[AskOptions]
) -> Any:
    """Ask a human and wait for the answer, for days if need be: the run is durable meanwhile."""
    tracer, returns = require_tracer("ask"), decodable(returns)
    given = known_options(tracer, policy, AskOptions, "ask")
    choices = option(tracer, "choices", choices)
    prompt = feed_text(tracer, question, "the question of ask")
    name, opts = take_policies(tracer, given)
    if choices is not None:
        opts["choices"] = list(choices)
    return tracer.op("ask", [prompt], [Result(returns)], {"returns": type_string(returns)}, opts, name=name)[0]


@contextmanager
def options(**defaults: Unpack[Sampling]) -> Iterator[None]:
    """Defaults for every model call in the block: ``with options(model="small", temperature=0): ...``"""
    tracer = require_tracer("options")
    outer = tracer.defaults
    tracer.defaults = merged(outer, _known(tracer, defaults, Sampling, "options"))
    try:
        yield
    finally:
        tracer.defaults = outer


def _chat(tracer: Tracer, system: object, model: object, messages: object = None) -> Chat:
    begun = [] if system is None else [feed_text(tracer, system, "the system prompt")]
    if messages is not None:
        begun.append(prompted(tracer, messages, "what the conversation begins with"))
    default = tracer.defaults.get("model")
    model = option(tracer, "model", model, None if isinstance(default, Value) else default)
    started = tracer.op("chat", begun, [Result(Chat)], {}, {} if model is None else {"model": model})[0]
    assert isinstance(started, Chat)
    return started


def _generate(  # noqa: PLR0917
    tracer: Tracer,
    prompt: object,
    context: Chat | None,
    returns: TypeForm,
    samples: int,
    options: Mapping[str, Any],
) -> list[Any]:
    tools, deps = options.get("tools"), options.get("deps")
    options = {name: value for name, value in options.items() if name not in ("tools", "deps")}
    given = merged(tracer.defaults, _known(tracer, options, _AllOptions, "llm or say"))
    returns = decodable(returns)
    operands = [prompted(tracer, prompt, "the prompt")]
    late = {name: given.pop(name) for name in LATE if isinstance(given.get(name), Value)}
    if context is not None or late:
        operands.append(
            feed(tracer, context if context is not None else _chat(tracer, None, None), Chat, "the conversation")
        )
    name, opts = take_policies(tracer, given)
    opts |= _late_opts(late)
    operands += cast("list[Value[Any]]", list(late.values()))
    model = given.pop("model", "default")
    opts |= sampling_opts(given)
    opts |= _tool_opts(tracer, tools, deps, given.get("tool_choice", "auto"))
    is_offered = "tools" in opts and opts.get("tool_choice") != "none"
    returns = _reply_to_tools(tracer, returns, opts) if is_offered else _constrained(tracer, returns, opts)
    schema = None if is_offered or "choice" in opts else _schema(tracer, returns)
    if schema is not None:
        opts["schema"] = schema
    samples = option(tracer, "samples", samples, 1)
    at_least = cast("int", given.get("at_least") or samples)
    if at_least > samples:
        fix = f"give at_least a number up to {samples}, or ask for more samples"
        tracer.report("ORCH-D041", f"at_least={at_least}, and there are samples={samples}", fix=fix)
    elif at_least < samples:
        opts["at_least"] = at_least
        if "logprobs" in opts:
            fix = "leave one of them out: what a sample was kept for is not known any more"
            tracer.report("ORCH-D041", "at_least= and logprobs= in one call", fix=fix)
    types = [returns, Chat, *([Logprobs] if "logprobs" in opts else [])]
    length = Length(samples, min(at_least, samples))
    results = [Result(list_of(tp), length) if samples > 1 else Result(tp) for tp in types]
    attrs = {"model": model, "returns": type_string(returns), "samples": samples}
    return tracer.op("generate", operands, results, attrs, opts, base="llm", name=name)


def _known(tracer: Tracer, given: Mapping[str, object], known: type, callee: str) -> Opts:
    """The options that can be used; some may be values, which are checked for their types."""
    late = {name: given[name] for name in LATE if is_symbolic(given.get(name))}
    opts = known_options(tracer, {name: value for name, value in given.items() if name not in late}, known, callee)
    for name, value in late.items():
        if name == "system":
            opts[name] = feed_text(tracer, value, "the system prompt")
        else:
            opts[name] = (
                feed_text(tracer, value, "model=") if name == "model" else feed(tracer, value, float, "temperature=")
            )
    if isinstance(opts.get("system"), str):
        opts["system"] = feed_text(tracer, opts["system"], "the system prompt")
    return opts


def _late_opts(late: Mapping[str, object]) -> Opts:
    """What the op says of options that are values: their names, and the models that it may be."""
    opts: Opts = {"late": list(late)} if late else {}
    if isinstance(model := late.get("model"), Value):
        names = literals_of(model._type)
        if names is not None and all(isinstance(name, str) for name in names):
            opts["models"] = list(names)
    return opts


def _tool_opts(tracer: Tracer, tools: object, deps: Any, choice: object) -> Opts:
    """What the op says of the tools that a model is offered."""
    if tools is None:
        return {}
    known = tools if isinstance(tools, Offered) else _offered(tracer, tools, deps or ())
    if known is None:
        return {}
    choices = ("auto", "none", "required", *known.names)
    if choice not in choices:
        fix = f"tool_choice is one of {', '.join(choices)}"
        tracer.report("ORCH-D041", f"tool_choice={shown(choice)}", fix=fix)
        return {}
    opts: Opts = {"tools": known.tools, "steps": known.schema}
    return opts if choice == "auto" else {**opts, "tool_choice": choice}


def _offered(tracer: Tracer, tools: object, hidden: Any) -> Offered | None:
    try:
        return offered("llm", tools_of("llm", tools), list(hidden))
    except TraceError as error:
        tracer.report_once(error.diagnostics)
        return None


def _reply_to_tools(tracer: Tracer, returns: TypeForm, opts: Opts) -> TypeForm:
    """The type of a reply that may call tools; reports what bounds it otherwise."""
    given = [*(["returns"] if returns is not str else []), *(each for each in CONSTRAINTS if each in opts)]
    for each in given:
        fix = f"leave {each}= out, or ask for it in a call of its own: with tools the reply is a Reply"
        tracer.report("ORCH-D041", f"{each}= and tools= in one call", fix=fix)
        opts.pop(each, None)
    return Reply


def _constrained(tracer: Tracer, returns: TypeForm, opts: Opts) -> TypeForm:
    """The type of the reply: of a ``choice``, one of its texts. Reports what cannot go together."""
    given = [*(["returns"] if returns is not str else []), *(each for each in CONSTRAINTS if each in opts)]
    if len(given) > 1:
        names = " and ".join(f"{each}=" for each in given)
        fix = f"leave one of {names} out: each says alone what the reply may be"
        tracer.report("ORCH-D041", f"{names} in one call", fix=fix)
    least, most = cast("int", opts.get("min_tokens", 0)), cast("int | None", opts.get("max_tokens"))
    if most is not None and least > most:
        fix = "lower min_tokens, or raise max_tokens"
        tracer.report("ORCH-D041", f"min_tokens={least}, and max_tokens={most}", fix=fix)
    return literal_of(cast("list[str]", opts["choice"])) if "choice" in opts else returns


def _schema(tracer: Tracer, returns: TypeForm) -> str | None:
    if returns is str:
        return None
    if not is_type_form(returns):
        fix = "returns is a type: a pydantic model, a dataclass, list[Query], int"
        tracer.report("ORCH-D041", f"returns={shown(returns)} is no type", fix=fix)
        return None
    try:
        return json_schema(returns)
    except Exception as error:  # noqa: BLE001 - pydantic raises several kinds, and each means the same to the user
        tracer.report(
            "ORCH-D041",
            f"returns={type_string(returns)} has no JSON schema",
            why=str(error).splitlines()[0],
            fix="return a pydantic model, a dataclass, or a JSON type",
        )
        return None
