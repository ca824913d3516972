"""The bundled model's tokenizer: byte-level BPE whose pre-tokenizer spells a name alike wherever it occurs.

Copying names from schema to SQL is what the model does most, so a name's tokens must not depend on what precedes it.
Spaces therefore never attach to names; they attach to function words, SQL keywords and punctuation instead, which
keeps sequences about as short as usual. A final "s" is split off, so a singular is a prefix of its plural; digits stand
alone. Everything else is bytes, so any text round-trips exactly.
"""

import json
import random
import re
from collections.abc import Iterable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

PAD, SYSTEM, USER, ASSISTANT, END = "<|pad|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>"
VOCABULARY = 1280

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

_FUNCTION_WORDS = (
    "how many|how much|what is|what are|which|what|who|is|are|was|there|the|of|in|with|for|and|or|an|a|have|has|having|"
    "do|does|that|whose|where|than|more|less|fewer|by|to|from|me|each|per|all|at|not|on|other|between|you|we|it|"
    "most|least|highest|lowest|largest|smallest|average|starting|starts|begins|beginning|containing|contains|"
    "How many|How much|What is|What are|Which|What|List|Show|Give|Find|Name|Count|For|Compute|Among|The|There are"
)
_KEYWORDS = (
    "SELECT|DISTINCT|FROM|WHERE|AND|OR|NOT|GROUP BY|ORDER BY|HAVING|LIMIT|JOIN|ON|BETWEEN|LIKE|ASC|DESC|"
    "COUNT|AVG|SUM|MAX|MIN"
)
_PATTERN = "|".join(
    (
        r"\n",
        r"\{\"sql\": \"|\{\"tables\": \[\"|\", \"|\"\]\}|'?\"\}",
        r" (?:text|int|real)(?=[,)] | \[|\))",
        rf"(?: |(?<![A-Za-z0-9_]))(?:{_FUNCTION_WORDS})(?![A-Za-z0-9_]) ?",
        rf" ?(?:{_KEYWORDS})(?![A-Za-z0-9_]) ?",
        r"[A-Z]?[a-z]+?(?=s(?![a-z]))",
        r"[A-Z]?[a-z]+|[A-Z]+|[0-9]",
        r"\(\*\)",
        r" ?[=<>!|]+ ?| ?['\"(\[]|[,:;.?] |[^\w\s]",
        r"_|\s|[^\sA-Za-z0-9_]+|.",
    )
)


def respelt(tokenizer: PreTrainedTokenizerFast, seed: int, dropped: float) -> Tokenizer:
    """The same vocabulary without a random share of the merges that build words: words fall into other pieces.

    English words of the training pool are single tokens, held-out ones are not; training on several spellings of
    every word teaches copying piece by piece. Merges that keywords, JSON and function words need always stay. One text
    must be encoded by one tokenizer throughout.
    """
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    rng = random.Random(seed)
    pairs = [tuple(pair) for pair in state["model"]["merges"]]
    needed: set[str] = {"text", "int", "real", "name"}
    kept: list[list[str]] = []
    for left, right in reversed(pairs):
        whole = left + right
        is_word = re.fullmatch("[a-z]{3,}", whole) is not None
        if whole in needed or not is_word:
            needed |= {left, right} if whole in needed or re.search("[^a-z]", whole) else set()
            kept.append([left, right])
        elif rng.random() >= dropped:
            kept.append([left, right])
    state["model"]["merges"] = kept[::-1]
    return Tokenizer.from_str(json.dumps(state))


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learn the merges from `texts` and wrap them with the chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in (PAD, SYSTEM, USER, ASSISTANT, END)]
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    wrapped.chat_template = CHAT_TEMPLATE
    return wrapped
