"""What a model is shown when its reply did not fit: its own words, and what is wrong with them.

The turns stand behind the prompt, so that the next attempt shares the prompt's KV; a conversation that goes on
afterwards holds the prompt and the good reply only. Of several samples, those that fit are kept, and the others are
asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from orchestrator.dsl.models.messages import Message
from orchestrator.runtime.engines.base import FinishReason
from orchestrator.runtime.execution.model_calls.reply import MOST_SHOWN_CHARS, reply_of, shortened
from orchestrator.runtime.failures import ReplyError
from orchestrator.runtime.program.specs import Generate

_CUT_FIX: Final = "raise its max_tokens, or ask for less; retry=2 shows the model what was wrong"

STILL_UNFIT: Final = "ask for a simpler type; of several samples, at_least=1 does without those that do not fit"
"""What to do where the model has been shown what was wrong, as often as its op allows."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What an attempt leaves to the next one."""

    kept: Mapping[int, str] = field(default_factory=dict)
    """The texts of the samples that fit."""
    shown: tuple[str, str] | None = None
    """A reply that did not fit, and why; None shows nothing."""

    @property
    def turns(self) -> tuple[Message, ...]:
        """What stands behind the prompt."""
        return () if self.shown is None else (Message("assistant", self.shown[0]), Message("user", self.shown[1]))


NOTHING_WRONG: Final = Correction()


class UnfitReplyError(ReplyError):
    """Some sample does not fit the declared type."""

    def __init__(self, why: str, fix: str, correction: Correction) -> None:
        super().__init__(why)
        self.fix = fix
        self.correction = correction


def parsed(spec: Generate, texts: Mapping[int, str], reasons: Mapping[int, FinishReason], limit: str) -> list[Any]:
    """The replies as what the call declares, in the order of the samples; raises :class:`UnfitReplyError`.

    ``texts`` holds the text of every sample, in their order, ``reasons`` why those ended that were asked for in this
    attempt; ``limit`` is what cuts replies.
    """
    values: dict[int, Any] = {}
    bad: list[tuple[int, str, bool]] = []
    for sample, text in texts.items():
        try:
            values[sample] = reply_of(spec, text)
        except ReplyError as error:
            bad.append((sample, str(error), reasons.get(sample) == "length"))
    if not bad:
        return list(values.values())
    sample, why, is_cut = bad[0]
    if is_cut:
        why = f"{limit} cut it off before its end ({why})"
    text = texts[sample]
    fix = _CUT_FIX if is_cut else "retry=2 shows the model what was wrong"
    kept = {} if spec.sampling.logprobs is not None else {each: texts[each] for each in values}
    turns = (
        shortened(text, MOST_SHOWN_CHARS) or "(nothing)",
        _request(why, "text" if spec.sampling.constraint else "JSON", is_cut=is_cut),
    )
    shown = f"{why}; it was {shortened(text, 200)!r}" if text else f"{why}; it was empty"
    raise UnfitReplyError(shown, fix, Correction(kept, turns))


def _request(why: str, form: str, *, is_cut: bool) -> str:
    if is_cut:
        return f"Your reply was cut off before its end. Answer again, much shorter, with the complete {form} only."
    return f"That reply does not fit: {why}. Answer again, with the corrected {form} only."


def unfinished(op: str, texts: Mapping[int, str], reasons: Mapping[int, FinishReason], limit: str) -> list[str]:
    """What the run says about texts that are not whole answers."""
    found = []
    cut = [texts[sample] for sample, reason in reasons.items() if reason == "length"]
    if cut:
        is_bare = not all(text.strip() for text in cut)
        found.append(
            f"the reply to `{op}` was cut off by {limit}"
            + (" before its first word; reasoning counts, too" if is_bare else "")
        )
    if [sample for sample, reason in reasons.items() if reason == "stop" and not texts[sample].strip()]:
        found.append(f"the reply to `{op}` is empty")
    return found
