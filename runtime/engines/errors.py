"""The coded errors of the engines, in one table.

Each function builds one :class:`~orchestrator.errors.EngineError`; nothing is raised here. :func:`is_transient` tells
the runtime which of them are worth a retry.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from orchestrator.errors import EngineError, OrchError

if TYPE_CHECKING:
    from orchestrator.runtime.engines.base import FinishReason

SILENT: Final = frozenset({"ORCH-E010", "ORCH-E019"})
"""Failures after which an endpoint may have worked on: it did not answer in time, or its reply broke off."""
TRANSIENT = frozenset({"ORCH-E008", "ORCH-E010", "ORCH-E013", "ORCH-E017", "ORCH-E019", "ORCH-E021"})
"""Codes of failures that may pass by themselves: refused, timed out, died and restarted, overloaded, broken off, failed
inside the server."""


NO_SYSTEM = "begin the first prompt with what the system prompt says: some models take no system prompts"


def is_transient(error: BaseException) -> bool:
    """Whether trying the same request again can succeed."""
    return isinstance(error, OrchError) and error.code in TRANSIENT


def unknown_kind(kind: str, known: Iterable[str]) -> EngineError:
    return EngineError(
        "ORCH-E001", f"there is no engine of kind `{kind}`", fix=f"use one of: {', '.join(sorted(known))}"
    )


def not_installed(package: str, command: str, why: str | None = None) -> EngineError:
    return EngineError("ORCH-E002", f"this engine needs {package}, which is not installed", why=why, fix=command)


def unsupported_version(package: str, found: str, supported: str, command: str) -> EngineError:
    return EngineError(
        "ORCH-E003",
        f"{package} {found} is outside the supported range {supported}",
        why="its internal interfaces change between releases; this range is tested",
        fix=command,
    )


def model_not_loadable(model: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E004",
        f"the model `{model}` cannot be loaded",
        why=why,
        fix="give a directory with config.json, weights and a tokenizer, or the id of a model on the Hugging Face hub",
    )


def crashed_at_start(engine: str, model: str, last_line: str, log: str | None) -> EngineError:
    return EngineError(
        "ORCH-E005",
        f"the engine `{engine}` stopped while loading `{model}`",
        why=last_line,
        fix=_log_at(log),
    )


def no_memory_for_kv(engine: str, last_line: str, log: str | None) -> EngineError:
    less = "lower `max_model_len`, or raise `kv_cache_gib` (CPU) or `gpu_memory_utilization` (GPU)"
    return EngineError(
        "ORCH-E006",
        f"the engine `{engine}` has no memory left for the KV cache",
        why=last_line,
        fix="; ".join(filter(None, (less, _log_at(log)))),
    )


def ray_unreachable(address: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E007",
        f"no Ray cluster answers at {address}",
        why=why,
        fix="check the address and that `ray status` works there, or leave --ray-address out to use this machine",
    )


def folder_not_sent(folder: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E030",
        f"the folder {folder} cannot be sent to the Ray cluster",
        why=why,
        fix="name what workers do not need in a .rayignore there, or start from a folder that has nothing but code",
    )


def endpoint_unreachable(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E008", f"the endpoint {url} cannot be reached", why=why, fix="check `base_url` and that the server runs"
    )


def no_socket(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E008",
        f"the endpoint {url} cannot be reached: this process can open no more sockets",
        why=why,
        fix="raise the limit (`ulimit -n 4096`), or lower the engine's `max_concurrency`",
    )


def unauthorised(url: str, key_env: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E009",
        f"the endpoint {url} refused the credentials",
        why=why,
        fix=f"set {key_env} to a key that is valid there",
    )


def timed_out(what: str, after_s: float, *, option: str = "timeout_s") -> EngineError:
    return EngineError("ORCH-E010", f"{what} did not answer within {after_s:g} s", fix=f"raise the engine's `{option}`")


def gateway_timed_out(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E010",
        f"what is behind the endpoint {url} did not answer in time",
        why=why,
        fix="ask for a shorter reply, or raise the time that the gateway in front of the server allows",
    )


def prompt_too_long(model: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E011",
        f"the prompt does not fit the context window of `{model}`",
        why=why,
        fix="shorten the prompt, or serve the model with a larger `max_model_len`",
    )


def unknown_model(asked: str, served: Iterable[str], why: str | None = None) -> EngineError:
    return EngineError(
        "ORCH-E012",
        f"the engine does not serve the model `{asked}`",
        why=why or f"it serves {', '.join(f'`{name}`' for name in sorted(served)) or 'nothing'}",
        fix="change the op's `model=`, or add an engine for it",
    )


def engine_died(engine: str, last_line: str, log: str | None) -> EngineError:
    return EngineError(
        "ORCH-E013",
        f"the engine `{engine}` stopped while it was working",
        why=last_line,
        fix=_log_at(log),
    )


def not_back(engine: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E013",
        f"the engine `{engine}` stopped, and another one did not start in time",
        why=why,
        fix="raise the engine's `start_timeout_s`, or look at its log for why it stopped",
    )


def taken_out(engine: str) -> EngineError:
    return EngineError(
        "ORCH-E013",
        f"a replica of the engine `{engine}` is being taken out of service",
        fix="ask another replica: those that the deployment keeps go on",
    )


def rejected(engine: str, why: str) -> EngineError:
    return EngineError("ORCH-E014", f"the engine `{engine}` rejected the request", why=why)


def not_taken(engine: str, what: str, fix: str, why: str | None = None) -> EngineError:
    return EngineError("ORCH-E029", f"the engine `{engine}` does not take {what}", why=why, fix=fix)


def advised(error: EngineError, fix: str | None) -> EngineError:
    """``error`` with a fix, where it has none."""
    error.diagnostics = [replace(each, fix=each.fix or fix) for each in error.diagnostics]
    return error


def not_running(engine: str, *, is_closed: bool) -> EngineError:
    if is_closed:
        return EngineError("ORCH-E015", f"the engine `{engine}` is closed", fix="make a new one: this one stays closed")
    return EngineError(
        "ORCH-E015", f"the engine `{engine}` has not been started", fix="call `await engine.start()` first"
    )


def keeps_stopping(engine: str, times: int) -> EngineError:
    return EngineError(
        "ORCH-E015",
        f"the engine `{engine}` has stopped {times} times in a row, and is not started again",
        fix="look at its log for why it stops, then start the run again",
    )


def bad_options(kind: str, why: str) -> EngineError:
    return EngineError("ORCH-E016", f"the options of this `{kind}` engine are wrong", why=why)


def overloaded(url: str, why: str, retry_after_s: float | None = None) -> EngineError:
    when = "try again later" if not retry_after_s else f"try again after {retry_after_s:g} s"
    return EngineError(
        "ORCH-E017",
        f"the endpoint {url} cannot take the request now",
        why=why,
        fix=f"{when}, or lower the engine's `max_concurrency`",
    )


def over_rate_limit(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E014",
        f"the endpoint {url} rejected the request: it alone is larger than what the endpoint takes in a minute",
        why=why,
        fix="shorten the prompt or lower `max_tokens`, which most limits count too; or have the limit raised there",
    )


def server_failed(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E021",
        f"the endpoint {url} failed",
        why=why,
        fix="give the op a retry; if it happens again, look at the server's log",
    )


def quota_used_up(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E022", f"the quota at the endpoint {url} is used up", why=why, fix="raise it there, or use another key"
    )


def waits_too_long(url: str, why: str, retry_after_s: float, patience_s: float) -> EngineError:
    return EngineError(
        "ORCH-E023",
        f"the endpoint {url} takes no requests for {retry_after_s:,.0f} s",
        why=why,
        fix=f"run it again then, or raise the engine's `patience_s` above {patience_s:g}",
    )


def bad_key(key_env: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E027",
        f"the key in {key_env} cannot be sent",
        why=why,
        fix=f"set {key_env} to the key alone, as the endpoint's owner gave it out",
    )


def no_chat_api(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E028",
        f"there is no chat completions API at {url}",
        why=why,
        fix="check `base_url`: it is the part before /chat/completions, and mostly ends in /v1",
    )


def withheld(engine: str, reason: FinishReason, text: str) -> EngineError:
    """A reply that ended without an answer, with the endpoint's words."""
    said = f"it said: {text[:300]!r}" if text.strip() else None
    match reason:
        case "refusal":
            return EngineError(
                "ORCH-E024", f"the model behind `{engine}` refused to answer", why=said, fix="change the prompt"
            )
        case "content_filter":
            return EngineError(
                "ORCH-E025",
                f"a content filter of `{engine}` withheld the reply",
                why=said,
                fix="change the prompt, or the filter's settings at the endpoint",
            )
        case _:
            return EngineError(
                "ORCH-E026",
                f"the model behind `{engine}` wants to call a tool, and this request offers none",
                why=said,
                fix="take tools out of the engine's `extra_body`, and offer them by `tools=` or `react`",
            )


def script_exhausted(engine: str, replies: int) -> EngineError:
    return EngineError(
        "ORCH-E018",
        f"the scripted engine `{engine}` has no reply left",
        why=f"all {replies} were used",
        fix="give it more replies, or a function of the request",
    )


def nothing_scripted(engine: str, op: str, named: Iterable[str]) -> EngineError:
    near = get_close_matches(op, named, n=1, cutoff=0.6)
    return EngineError(
        "ORCH-E018",
        f"the scripted engine `{engine}` has no reply for `{op}`",
        why=f"it has some for {', '.join(f'`{each}`' for each in named) or 'no op'}",
        fix=f"the one for `{near[0]}` may be meant for it" if near else 'add it, or "*" for all that are not named',
    )


def stream_broken(url: str, why: str) -> EngineError:
    return EngineError(
        "ORCH-E019",
        f"the reply of the endpoint {url} broke off",
        why=why,
        fix="try again; if it happens again, look at the server's log",
    )


def ray_not_started(why: str) -> EngineError:
    return EngineError(
        "ORCH-E020",
        "Ray did not start on this machine",
        why=why,
        fix="see what else keeps the machine busy and whether it has memory and disk space left, then try again",
    )


def _log_at(log: str | None) -> str | None:
    return f"the engine's log is {log}" if log else None
