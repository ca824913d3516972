"""Words for table, column and value names, split into a training pool and a pool training never sees.

A word belongs to the unseen pool when its CRC-32 is divisible by five (made-up words included), or when it is one of
the words of the demonstration's own database; so the pools are disjoint by construction, not by sampling.
"""

import random
import zlib


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


DEMO_WORDS = frozenset(
    _words(
        """package distribution requirement section priority installed version debian python require requires dist
        dependency bytes file numpy torch optional libs"""
    )
)
"""Held out of training: the vocabulary of the database that the demonstration asks about."""

NOUNS = _words(
    """account actor airline airport album alarm animal apartment article artist asset athlete author award bakery band
    bank barn battery beach bed bike bill bird boat book border bottle branch brand bridge budget building bus cabin
    cable cafe camera camp canal candidate car card cargo carrier castle cat chair channel chapter chef cinema
    circuit citizen city claim class client clinic clock club coach coast coin college comment company concert
    contract cook counter country county course court crew crop customer dancer deal dealer degree delivery
    department deposit desk device diet dish district doctor document dog door driver drone editor election employee
    engine episode event exam exhibit expert factory family farm farmer ferry festival field film flight floor
    flower forest fruit game garage garden gate gift glacier goal grant group guard guest guide harbor hall hive
    holiday horse hospital hotel house hunter island item jacket job journal judge keeper kitchen label lake lamp
    language laptop lawyer league leaf lecture lesson letter library license light lion loan lock machine magazine
    mall manager map market match meal medal member menu message meter metro mine mission model monitor motor
    mountain movie museum musician network newspaper novel nurse object ocean office officer opera orchard orchestra
    order organ owner painter painting panel paper parcel park part partner party passenger patient payment pen pet
    phone photo pilot pipe pizza plane planet plant plate player poem poet police policy pond pool port poster
    president printer prison product professor program project province pump pupil purchase quarry query race radio
    railway ranch recipe record region rental report reservoir restaurant review ride river road robot rocket room
    route sailor salon sample satellite scene school scientist seat sensor server service sheep shelf ship shop
    signal singer sister site skill soldier song spice sport stadium staff stage star station stone store storm
    street student studio subject supplier surgeon survey swimmer table tank task team teacher telescope temple
    tenant test theater ticket tile tool tour tower town toy track trade trail train trainer tree trip truck tunnel
    tutor umpire union university user valley van vehicle vendor venue vessel village visit visitor volcano voter
    wagon wallet warehouse watch well wheel window winery witness worker workshop writer yard zone zoo module job
    cluster node kernel thread bucket branch commit ticket issue plugin driver image volume tenant"""
)
"""Things that a table may hold."""

NUMERIC = _words(
    """age amount area balance bonus budget calories capacity charge cost count debt delay density deposit depth
    diameter discount distance duration energy expense fee frequency fuel gain goals grade growth height hits hours
    humidity income interest kilometers latency length level limit load loss margin mass memory mileage minutes nights
    noise output pages pay pitch points population power premium pressure price profit quantity radius rainfall range
    rank rate rating ratio rent revenue runs salary sales score seats seconds share shots size space speed stake stock
    strength tax temperature tickets tons total traffic turnover usage value views visits votes voltage wage warranty
    waste watts wealth weight width wins year yield"""
)
"""Things that are measured."""

SIZES = frozenset(_words("size area capacity length height weight volume mass width population"))
"""Measures that the bare word "largest" may mean."""

CATEGORIES = _words(
    """kind type status color category state genre grade shape style material brand flavor season level mode phase
    climate role gender language nationality continent currency position format theme breed rank origin quality source
    condition class team region sector topic tier label group method policy channel division family license"""
)
"""Text columns with few distinct values."""

VALUE_WORDS = _words(
    """red blue green black white yellow gold silver brown gray small medium large tiny huge low high normal urgent open
    closed active pending done failed new old used broken rare common winter summer spring autumn north south east west
    wood steel glass plastic paper cotton wool leather daily weekly monthly annual public private local global basic
    premium standard extra major minor senior junior modern classic rock jazz folk pop drama comedy horror action sweet
    sour salty bitter spicy round square oval flat french german spanish english italian polish dutch greek danish
    manual automatic solar diesel electric hybrid cash credit online remote draft final empty full hot cold warm dry wet
    net web mail graphics games math science admin doc sound video text shell editors fonts database"""
)
"""Values of such columns."""

PREFIXES = _words("total max min avg num first last home main net gross base unit daily annual current old new")
SUFFIXES = _words("total count score rate level size kb mb usd km cost time index share value per_day per_unit")
VERBS = _words("uses owns contains supports likes follows replaces sells needs teaches visits builds imports")
UNSEEN_VERBS = _words("provides reads wants eats breaks suggests")

RESERVED = frozenset(
    _words(
        """add all alter and as autoincrement between case cast check collate commit constraint create default
        deferrable delete distinct drop else escape except exists foreign from group having if in index insert int
        intersect into is isnull join key like limit not nothing notnull null on or order plan primary raise real
        references returning select set table text then to transaction union unique update using values view when
        where"""
    )
)
"""SQL keywords that would need quoting as names; never drawn."""

_ONSETS = _words("b c d f g h j k l m n p r s t v w z br ch cl dr fl gr kr pl pr sh sk st th tr x y qu")
_VOWELS = _words("a e i o u ai ea io ou y")
_CODAS = ("", "", "", "n", "r", "l", "s", "t", "m", "k", "x", "nd", "rt", "sh", "p")


def is_unseen(word: str) -> bool:
    """Whether the word is kept out of training."""
    return zlib.crc32(word.encode()) % 5 == 0 or word in DEMO_WORDS


class Lexicon:
    """Draws names from one side of the split; `unseen` picks the side."""

    def __init__(self, unseen: bool) -> None:
        self.unseen = unseen
        self.nouns = self._side(NOUNS)
        self.numeric = self._side(NUMERIC)
        self.categories = self._side(CATEGORIES)
        self.values = self._side(VALUE_WORDS)
        self.verbs = UNSEEN_VERBS if unseen else VERBS

    def _side(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(word for word in dict.fromkeys(words) if is_unseen(word) == self.unseen and word not in RESERVED)

    def made_up(self, rng: random.Random) -> str:
        """A word that is on this lexicon's side of the split: syllables, or two English words cut and joined.

        Cut words break into tokens the way English words do that the tokenizer does not know whole.
        """
        while True:
            if rng.random() < 0.5:
                head, tail = rng.choice(self.nouns), rng.choice(self.nouns)
                word = head[: rng.randint(2, 4)] + tail[-rng.randint(2, 4) :]
            else:
                word = "".join(
                    rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS)
                    for _ in range(rng.choice((1, 1, 2, 2)))
                )
            if len(word) > 2 and is_unseen(word) == self.unseen and word not in RESERVED:
                return word

    def word(self, rng: random.Random, pool: tuple[str, ...]) -> str:
        """A word of the pool; in training, half the time one that is misspelt into a word nobody knows.

        The pools are small, so their words' spellings would be learnt by heart instead of copied.
        """
        if self.unseen or rng.random() < 0.45:
            return rng.choice(pool)
        while True:
            letters = list(rng.choice(pool))
            for _ in range(rng.choice((1, 2, 2))):
                at = rng.randrange(len(letters))
                letters[at] = rng.choice(rng.choice(self.nouns))
            word = "".join(letters)
            if is_unseen(word) == self.unseen and word not in RESERVED and len(word) > 2:
                return word

    def verb(self, rng: random.Random) -> str:
        """A verb in the third person."""
        return rng.choice(self.verbs) if self.unseen or rng.random() < 0.3 else self.made_up(rng).rstrip("s") + "s"

    def noun(self, rng: random.Random, made_up_rate: float = 0.6) -> str:
        """A thing: a common English noun or a made-up word."""
        return self.made_up(rng) if rng.random() < made_up_rate else self.word(rng, self.nouns)
