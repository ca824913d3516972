"""vLLM's asynchronous engine in this process, behind the engine protocol. The Ray actor wraps this class."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, cast

from orchestrator.dsl.logprobs import LEAST, TokenLogprob
from orchestrator.errors import EngineError, described
from orchestrator.planner.takes import advice, refused
from orchestrator.runtime.engines import errors
from orchestrator.runtime.engines.base import (
    DEFAULT_MODEL,
    Chunk,
    EngineStats,
    FinishReason,
    GenerateRequest,
    Sampling,
    Usage,
    complete,
)
from orchestrator.runtime.engines.errors import NO_SYSTEM
from orchestrator.runtime.engines.tool_steps import in_steps
from orchestrator.runtime.engines.vllm import version
from orchestrator.runtime.engines.vllm.loading import loaded
from orchestrator.runtime.engines.vllm.log import last_failure, own_log
from orchestrator.runtime.engines.vllm.options import (
    EXTEND,
    RELEASE,
    REPORT,
    VllmOptions,
    engine_arguments,
    environment,
)
from orchestrator.runtime.engines.vllm.structure import grammar
from orchestrator.runtime.kv.hints import KvHint
from orchestrator.runtime.kv.wire import request_arguments, ttl_asked_s

STATS_TIMEOUT_S: Final = 1.0
"""An engine answers between two steps; one that does not is described by what this process knows."""


class LocalVllm:
    """An :class:`~orchestrator.runtime.engines.base.Engine` over ``AsyncLLM``."""

    simulated = False

    def __init__(self, name: str, model: str, options: VllmOptions | None = None) -> None:
        version.require()
        self.name = name
        self.model = model
        self.options = options or VllmOptions()
        self._llm: Any = None
        self._tokenizer: Any = None
        self._closed = False
        self._starting = asyncio.Lock()
        self._seeds = True
        self._running = self._requests = self._aborted = 0
        self._usage = Usage()

    async def start(self) -> None:
        """Load the model, once, whoever waits for it. Raises ORCH-E004, E005 or E006, and E015 if it was closed."""
        async with self._starting:
            if self._closed:
                raise errors.not_running(self.name, is_closed=True)
            if self._llm is None:
                await self._start()

    async def _start(self) -> None:
        if self.model.startswith(("/", ".")) and not (Path(self.model) / "config.json").is_file():
            raise errors.model_not_loadable(self.model, "there is no config.json in that directory")
        on_cpu = version.on_cpu()
        self._seeds = not on_cpu
        os.environ.update(environment(self.model, self.options, on_cpu=on_cpu))
        try:
            llm = await loaded(partial(self._load, on_cpu), lambda llm: llm.shutdown())
            tokenizer = llm.renderer.tokenizer
        except EngineError:
            raise
        except (Exception, SystemExit) as error:  # whatever loading a model raises, it means that there is no engine
            raise _start_error(self.name, self.model, error) from error
        if self._closed:
            await asyncio.to_thread(llm.shutdown)
            raise errors.not_running(self.name, is_closed=True)
        self._llm, self._tokenizer = llm, tokenizer

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Stream the reply as deltas; closing the generator aborts the request in the engine."""
        if self._llm is None or self._closed:
            raise errors.not_running(self.name, is_closed=self._closed)
        if request.model not in (DEFAULT_MODEL, self.model, self.name):
            raise errors.unknown_model(request.model, [self.model])
        request = in_steps(request)
        prompt = self._tokens(request)
        window = int(self._llm.model_config.max_model_len)
        if len(prompt) >= window:
            raise errors.prompt_too_long(self.model, f"{len(prompt)} tokens, and the window is {window}")
        self._requests += 1
        self._running += 1
        done = False
        try:
            async with aclosing(self._stream(request, prompt, window)) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        self._usage += chunk.usage
                        self._running -= 1
                        done = True
                    yield chunk
        finally:
            if not done:
                self._running -= 1
                self._aborted += 1

    async def stats(self) -> EngineStats:
        """Counts of this front end, and the load that the engine itself reports."""
        stats = EngineStats(running=self._running, requests=self._requests, aborted=self._aborted, usage=self._usage)
        report = await self.kv_report()
        if not report:
            return stats
        return replace(
            stats,
            waiting=report["requests_waiting"],
            kv_used_fraction=report["kv_used_fraction"],
            kv_capacity_tokens=report["kv_capacity_tokens"],
        )

    async def kv_report(self) -> dict[str, Any]:
        """What the engine says of its KV cache and of hints; empty where stock vLLM runs, or is busy for long."""
        try:
            return await asyncio.wait_for(self._call_engine(REPORT), STATS_TIMEOUT_S) or {}
        except TimeoutError:
            return {}

    async def release(self, session: str) -> None:
        """Let go of the session's KV cache; stock vLLM has no way to."""
        await self._call_engine(RELEASE, session)

    async def prefetch(self, request: GenerateRequest) -> Usage:
        """Compute the prefix that a later turn begins with."""
        return (await complete(self, request)).usage or Usage()

    async def extend(self, session: str, hint: KvHint) -> None:
        """More is known of the session's pause than when its turn began."""
        ttl_s = ttl_asked_s(hint)
        if ttl_s is not None:
            await self._call_engine(EXTEND, session, ttl_s)

    async def close(self) -> None:
        """Stop the engine's processes."""
        self._closed = True
        llm, self._llm = self._llm, None
        if llm is not None:
            await asyncio.to_thread(llm.shutdown)

    def _load(self, on_cpu: bool) -> Any:
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        arguments = AsyncEngineArgs(**engine_arguments(self.model, self.options, on_cpu=on_cpu))
        return AsyncLLM.from_engine_args(arguments)

    async def _call_engine(self, method: str, *args: object) -> Any:
        """Call one of the plugin's methods in the engine's process; None where there is none."""
        if self._llm is None or not self.options.keeps_kv:
            return None
        from vllm.v1.engine.exceptions import EngineDeadError

        try:
            return await self._llm.engine_core.call_utility_async(method, *args)
        except EngineDeadError as error:
            raise _died(self.name, error) from error

    def _tokens(self, request: GenerateRequest) -> list[int]:
        if any(message.parts for message in request.messages):
            raise errors.not_taken(self.name, "images and files", advice(["parts"]), "it is asked in text alone")
        turns = [{"role": message.role, "content": message.content} for message in request.messages]
        if getattr(self._tokenizer, "chat_template", None):
            try:
                text = self._tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
            except Exception as error:  # a template is a program that comes with the model, and raises what it likes
                why = f"its chat template does not take the conversation: {described(error)}"
                fix = NO_SYSTEM if turns[0]["role"] == "system" else None
                raise errors.advised(errors.rejected(self.name, why), fix) from error
            return list(self._tokenizer.encode(text, add_special_tokens=False))
        return list(self._tokenizer.encode("\n".join(turn["content"] for turn in turns)))

    async def _stream(self, request: GenerateRequest, prompt: list[int], window: int) -> AsyncGenerator[Chunk, None]:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        started = time.monotonic()
        ttft_s: float | None = None
        cached = written = ended = 0
        scores: dict[int, list[TokenLogprob]] = {}
        sampling = request.sampling
        is_scored = sampling.logprobs is not None
        copies = sampling.samples if sampling.temperature == 0 else 1  # vLLM refuses n > 1 for greedy decoding
        try:
            parameters = _parameters(self.name, sampling, copies, window - len(prompt), seeds=self._seeds)
            parameters.extra_args = request_arguments(request.session, request.kv) or None
            outputs = self._llm.generate({"prompt_token_ids": prompt}, parameters, request.request_id)
            async with aclosing(outputs):
                async for output in outputs:
                    ttft_s = ttft_s if ttft_s is not None else time.monotonic() - started
                    cached = max(cached, output.num_cached_tokens or 0)
                    for piece in output.outputs:
                        scores.setdefault(piece.index, []).extend(_scores(piece))
                        written += len(piece.token_ids)
                        reason = _reason(piece.finish_reason)
                        ended += reason is not None
                        last = ended * copies == sampling.samples
                        usage = Usage(len(prompt), cached, written) if last else None
                        for copy in range(copies):
                            tokens = 0 if copy else len(piece.token_ids)
                            final = last and copy == copies - 1
                            yield Chunk(
                                piece.index + copy,
                                piece.text,
                                tokens,
                                reason,
                                usage if final else None,
                                ttft_s if final else None,
                                logprobs=tuple(scores[piece.index]) if is_scored and reason is not None else None,
                            )
        except VLLMClientError as error:
            raise errors.rejected(self.name, str(error)) from error
        except (EngineDeadError, EngineGenerateError) as error:
            raise _died(self.name, error) from error


def _died(engine: str, error: Exception) -> EngineError:
    log = own_log()
    return errors.engine_died(engine, last_failure(log) or str(error), str(log) if log else None)


def _parameters(engine: str, sampling: Sampling, copies: int, room: int, *, seeds: bool) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

    asked = [*sampling.passed, *(["extra_body"] if sampling.extra_body else [])]
    if names := refused("vllm", asked):
        raise errors.not_taken(engine, ", ".join(f"`{name}=`" for name in names), advice(names))
    seed = sampling.seed if seeds else None
    chosen: dict[str, object] = {"temperature": sampling.temperature, "top_p": sampling.top_p, "seed": seed}
    chosen |= sampling.passed
    if isinstance(bias := chosen.get("logit_bias"), Mapping):
        chosen["logit_bias"] = {int(token): value for token, value in bias.items()}
    try:
        structure = StructuredOutputsParams(**_structure(sampling)) if sampling.schema or sampling.constraint else None
    except RuntimeError as error:
        raise errors.rejected(engine, f"its structured decoding cannot do this schema: {error}") from error
    return SamplingParams(
        n=sampling.samples // copies,
        max_tokens=min(room, sampling.max_tokens or room),
        stop=list(sampling.stop),
        logprobs=sampling.logprobs,
        output_kind=RequestOutputKind.DELTA,
        structured_outputs=structure,
        **cast("dict[str, Any]", {name: value for name, value in chosen.items() if value is not None}),
    )


def _structure(sampling: Sampling) -> dict[str, Any]:
    """What vLLM's structured decoding is asked for."""
    if sampling.constraint is not None:
        kind, what = sampling.constraint
        return {kind: list(what) if isinstance(what, list | tuple) else what}
    return {"grammar": grammar(sampling.schema or {})}


def _scores(piece: Any) -> Iterator[TokenLogprob]:
    """How likely the tokens of a piece were; nothing where that was not asked for."""
    for token, found in zip(piece.token_ids, piece.logprobs or (), strict=False):
        ranked = sorted(found.items(), key=lambda each: each[1].rank or 0)
        alternatives = {each.decoded_token or "": max(each.logprob, LEAST) for _, each in ranked}
        own = found[token]
        yield TokenLogprob(own.decoded_token or "", max(own.logprob, LEAST), alternatives)


def _reason(found: str | None) -> FinishReason | None:
    reasons: dict[str, Literal["stop", "length"]] = {"stop": "stop", "length": "length"}
    return None if found is None else reasons.get(found, "stop")


def _start_error(name: str, model: str, error: BaseException) -> EngineError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith("For further information visit")]  # pydantic's last word
    last = f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__
    log = own_log()
    reason = last_failure(log) if isinstance(error, RuntimeError) else None
    shown = str(log) if log else None
    if any("KV cache" in text or "cache blocks" in text for text in (str(error), reason or "")):
        return errors.no_memory_for_kv(name, reason or last, shown)
    if isinstance(error, OSError | ValueError):
        return errors.model_not_loadable(model, lines[-1] if lines else last)
    return errors.crashed_at_start(name, model, reason or last, shown)
