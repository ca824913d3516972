"""How many tokens a prompt or a reply has, where no engine says or has said so yet.

The model's own tokenizer counts where it is at hand: the engine's, or the one in the model's folder or in the local
Hugging Face cache. Else the bound is the bytes of the text. Byte-level BPE starts from bytes and only merges, and so do
tokenizers that fall back to bytes, so no text has more tokens than bytes in UTF-8; a tokenizer that normalises Unicode
first may see a longer text than was sent, so the longest of the normal forms counts. Chat templates add some for every
message, and some for the prompt: a default system prompt, the turn that the reply begins.

>>> BYTES.count_text("0123456789")
10
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, Protocol, TypeGuard
from unicodedata import normalize

from orchestrator import hub_cache
from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import Engine, KvControl, Usage
from orchestrator.runtime.kv.replicas import ReplicaSet

TOKENS_PER_MESSAGE: Final = 8
"""A chat template takes so many tokens for each message; the common ones need three to six."""
TOKENS_PER_PROMPT: Final = 96
"""A chat template takes so many tokens besides; the longest common one, gpt-oss, needs about 80."""
TOKENS_PER_PART: Final = 5_000
"""An image or a file has so many tokens at most: a guess, as only its engine knows. A long PDF has more."""
LONGEST_TOKEN: Final = 128
"""Characters; the longest tokens of the common vocabularies are runs of blanks."""
LONG_CHARS: Final = 50_000
"""Longer prompts are counted in a thread."""
MOST_KNOWN: Final = 4096
"""Texts whose tokens are remembered, for the turns of conversations. The texts themselves are not: they may be long."""
_FORMS: Final = ("NFC", "NFD", "NFKC", "NFKD")


class TokenCounter(Protocol):
    """Counts tokens exactly, or from above. Engines that know their tokenizer are counters."""

    def count_text(self, text: str) -> int:
        """Tokens of a text, at most."""

    def count_prompt(self, messages: Sequence[Message]) -> int:
        """Tokens of the prompt that the messages become, at most."""


class _Templated:
    """Counts texts by a function, and adds what any chat template adds."""

    def __init__(self, count: Callable[[str], int]) -> None:
        self.count_text = count

    def count_prompt(self, messages: Sequence[Message]) -> int:
        texts = sum(self.count_text(each) for message in messages for each in texts_of(message))
        return texts + TOKENS_PER_PART * parts_in(messages) + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_PROMPT


def texts_of(message: Message) -> list[str]:
    """All the text that a message is to a model."""
    return [message.content, *(text for call in message.calls for text in (call.name, call.arguments))]


def parts_in(messages: Sequence[Message]) -> int:
    """How many images and files there are."""
    return sum(part.kind != "text" for message in messages for part in message.parts)


def most_bytes(text: str) -> int:
    """The bytes of a text in UTF-8, in the longest of its normal forms."""
    if text.isascii():
        return len(text)
    return max(len(form.encode(errors="surrogatepass")) for form in (text, *(normalize(f, text) for f in _FORMS)))


BYTES: Final[TokenCounter] = _Templated(most_bytes)
"""Counts bytes, which is never too few."""


def at_hand(engine: Engine | KvControl) -> TokenCounter:
    """What counts for an engine without waiting for anything."""
    first = engine.replicas[0] if isinstance(engine, ReplicaSet) else engine  # they serve the same model
    return first if _counts(first) else BYTES


def may_repeat_prompts(engine: Engine) -> bool:
    """Whether several samples may be several requests, each with the prompt: some endpoints give one at a time."""
    first = engine.replicas[0] if isinstance(engine, ReplicaSet) else engine
    return not (_counts(first) or (hasattr(first, "prefetch") and hasattr(first, "extend")))


def _counts(engine: object) -> TypeGuard[TokenCounter]:
    """Whether an engine is a counter. To ask isinstance of a protocol costs more than counting a call's tokens."""
    return hasattr(engine, "count_text") and hasattr(engine, "count_prompt")


async def counter_of(engine: Engine) -> TokenCounter:
    """What counts best for an engine: its own tokenizer, one in the files of its model, or bytes."""
    counter = at_hand(engine)
    return counter if counter is not BYTES else await asyncio.to_thread(_best_for, engine.model)


async def prompt_tokens(counter: TokenCounter, messages: Sequence[Message], beside: Sequence[object]) -> int:
    """Tokens of a prompt, at most. Some endpoints put the reply's schema into it, and all put the tools."""
    described = sum(counter.count_text(json.dumps(each, ensure_ascii=False)) for each in beside)
    if counter is not BYTES and sum(len(message.content) for message in messages) > LONG_CHARS:
        return described + await asyncio.to_thread(counter.count_prompt, messages)
    return described + counter.count_prompt(messages)


def completed(told: Usage | None, prompt: int, outputs: int) -> Usage:
    """What an engine told of a request, with what it left out put in. A prompt has tokens, so none are not told."""
    tokens_in, tokens_out = (0, 0) if told is None else (told.input_tokens, told.output_tokens)
    if told is not None and tokens_in > 0 and (tokens_out > 0 or not outputs):
        return told
    cached = None if told is None or tokens_in <= 0 else told.cached_tokens
    return Usage(tokens_in if tokens_in > 0 else prompt, cached, tokens_out if tokens_out > 0 else outputs, True)


def _best_for(model: str) -> TokenCounter:
    return _tokenizer(model) or BYTES


@cache
def _tokenizer(model: str) -> TokenCounter | None:
    """The tokenizer in the model's folder or in the local Hugging Face cache; None where there is none."""
    paths = (Path(model) / "tokenizer.json", *hub_cache.cached(model, "tokenizer.json"))
    try:
        found = next((path for path in paths if path.is_file()), None)
    except OSError:  # a name that no file can have, or a folder that may not be read
        return None
    return _loaded(found) if found is not None else None


def _loaded(path: Path) -> TokenCounter | None:
    try:
        from tokenizers import Tokenizer

        tokenizer: Any = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()  # fine-tuning leaves its own limits in the file, and a text is as long as it is
        tokenizer.no_padding()
    except Exception:  # noqa: BLE001 - not installed, or a file of another version: bytes count as well, only higher
        return None

    known: dict[bytes, int] = {}

    def count(text: str) -> int:
        digest = blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()
        found = known.get(digest)
        if found is None:
            if len(known) >= MOST_KNOWN:
                known.clear()
            found = known[digest] = len(tokenizer.encode(text, add_special_tokens=False).ids)
        return found

    return _Templated(count)
