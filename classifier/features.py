"""Turn a batch of texts into hashed n-grams and a few plain numbers, and promise to say which word each came from.

Training and scoring both call `extract()`, and nothing else makes features. What a comment gets does not
depend on the comments beside it.

Sparse features are the character n-grams (2 to 5) inside white-space-delimited words, padded with one
space on each side, and the tokens and pairs of neighbouring tokens. Each is hashed into one of `BUCKETS`
columns. A feature that occurs tf times in a comment has the value (1 + ln tf) / norm, where norm
is a power of the Euclidean length of its block (characters, or tokens) of the comment; the value is shared out evenly
among the occurrences, so sums over words are exact.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from classifier.text import Normalised, normalise

# Raise this whenever a text could get other features than before: `load()` refuses weights of another version.
FEATURES_VERSION = 1

# 2^18 buckets: with six labels in half precision the file is 3.1 MB, in memory 6.3 MB.
BUCKET_BITS = 18
BUCKETS = 1 << BUCKET_BITS

MIN_CHARS, MAX_CHARS = 2, 5

# Words longer than this are cut for the purpose of marking. No English word is this long;
# a text without white space (Chinese, or keyboard mash) must not become a single mark.
MAX_WORD_CHARS = 64

# The exponent of a comment's length in its norm. 1 is the textbook's, under which an insult fades in a long
# comment: with 0.7, the AUC of toxicity on held-out news comments of over 300 characters rose from 0.876 to 0.883.
NORM_POWER = 0.7

DENSE_NAMES = (
    "length",
    "shortness",
    "capitals",
    "exclamation_marks",
    "question_marks",
    "digits",
    "not_ascii",
    "symbols",
    "punctuation",
    "links",
    "has_link",
    "has_markup_link",
    "link_share",
    "stretched",
    "repeated_words",
    "lines",
    "money",
    "word_length",
    "handles",
)

# Kinds of characters, in an order that makes a comparison do: up to _PUNCTUATION it parts tokens,
# from _LETTER to _DIGIT it makes one up, and each symbol (an emoji, say) is one of its own.
_SPACE, _EXCLAMATION, _QUESTION, _MONEY, _PUNCTUATION, _LETTER, _FOREIGN, _DIGIT, _SYMBOL = range(9)
_KIND_COUNT = 9

# Kinds are tabled up to here. Beyond are ideographs and other letters, and the emoji range.
_TABLED = 0x3100
_EMOJI_FIRST, _EMOJI_LAST = 0x1F000, 0x1FAFF

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
with np.errstate(over="ignore"):
    _POWERS = np.cumprod(np.full(MAX_WORD_CHARS, _MULTIPLIER), dtype=np.uint64)

# Texts are worked through in passes of about this many characters: enough to make numpy's cost per
# call vanish; more is no faster, and takes more memory (some 400 bytes a character while it lasts).
PASS_CHARS = 1 << 15

# A text's number within its pass must fit into the bits that the sort key of `_values()` leaves for it.
PASS_TEXTS = 1 << 12


def _kind(code: int) -> int:
    char = chr(code)
    if char.isspace():
        return _SPACE
    if char in _BY_CHAR:
        return _BY_CHAR[char]
    if char.isalnum() or unicodedata.category(char).startswith("M"):
        if code > 127:
            return _FOREIGN
        return _DIGIT if char.isdigit() else _LETTER
    return _SYMBOL if unicodedata.category(char) == "So" else _PUNCTUATION


_BY_CHAR = {"!": _EXCLAMATION, "?": _QUESTION} | dict.fromkeys("$%\u00a3\u20ac", _MONEY)
_KINDS = np.fromiter(map(_kind, range(_TABLED)), np.uint8, _TABLED)


class Features(NamedTuple):
    """The features of a batch: one row an occurrence, then one a word, then one a document.

    `document`, `bucket`, `value`, `word` have one entry for each occurrence of a sparse feature
    (an occurrence that spans two words is entered once for each, with half the value).
    `word_document`, `word_begin`, `word_end` say which document a word is in, and where, in code
    points of the original text, without punctuation at its edges. `dense` is (documents, len(DENSE_NAMES)).
    """

    document: np.ndarray
    bucket: np.ndarray
    value: np.ndarray
    word: np.ndarray
    word_document: np.ndarray
    word_begin: np.ndarray
    word_end: np.ndarray
    dense: np.ndarray


class _Layout(NamedTuple):
    """The texts of a batch in one row of code points, one space before each and one at the end."""

    text: str
    codes: np.ndarray
    kinds: np.ndarray
    document: np.ndarray
    offsets: np.ndarray
    word: np.ndarray
    word_first: np.ndarray
    word_last: np.ndarray
    count: int


def passes(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Cut a batch into parts of about PASS_CHARS characters, which bounds the memory that they take."""
    begin = size = 0
    for index, text in enumerate(texts):
        if index > begin and (size + len(text) > PASS_CHARS or index - begin >= PASS_TEXTS):
            yield texts[begin:index]
            begin, size = index, 0
        size += len(text)
    if begin < len(texts):
        yield texts[begin:]


def extract(texts: Sequence[str]) -> Features:
    """Return the features of each text. Any string is accepted; time is linear in the characters.

    Raises ValueError for more than PASS_TEXTS texts; `passes()` cuts a longer batch.
    """
    if len(texts) > PASS_TEXTS:
        raise ValueError(f"{len(texts)} texts in one pass, at most {PASS_TEXTS} are possible: see passes().")
    normalised = [normalise(text) for text in texts]
    layout = _lay_out([item.text for item in normalised])
    sparse, repetition = _sparse(layout)
    word_document = layout.document[layout.word_first]
    begin, end = _word_ranges(layout, word_document, normalised)
    return Features(*sparse, word_document, begin, end, _dense(layout, texts, repetition))


def _join(texts: Sequence[str]) -> tuple[str, np.ndarray, np.ndarray]:
    """Return the texts in one row, its code points, and the document that each position belongs to."""
    joined = f" {' '.join(texts)} "
    sizes = np.fromiter(map(len, texts), np.intp, len(texts)) + 1
    if len(sizes):
        # The last space belongs to the last text.
        sizes[-1] += 1
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    return joined, codes[: sizes.sum()], np.repeat(np.arange(len(texts)), sizes)


def _lay_out(texts: Sequence[str]) -> _Layout:
    joined, codes, document = _join(texts)
    kinds = _KINDS[np.minimum(codes, _TABLED - 1)]
    beyond = np.flatnonzero(codes >= _TABLED)
    kinds[beyond] = np.where((codes[beyond] >= _EMOJI_FIRST) & (codes[beyond] <= _EMOJI_LAST), _SYMBOL, _FOREIGN)
    # An apostrophe between letters is part of the word (don't); elsewhere it is a quotation mark.
    apostrophe = np.flatnonzero(codes == 0x27)
    inner = apostrophe[(kinds[apostrophe - 1] >= _LETTER) & (kinds[apostrophe + 1] >= _LETTER)]
    kinds[inner] = _LETTER
    visible = kinds != _SPACE
    codes = np.where(visible, codes, np.uint32(32))
    offsets = np.searchsorted(document, np.arange(len(texts)))
    word, first, last = _words(visible)
    return _Layout(joined, codes, kinds, document, offsets, word, first, last, len(texts))


def _words(visible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the words. Returns the number at each position (a space has its successor's) and each word's ends."""
    positions = np.arange(len(visible))
    starts = visible.copy()
    starts[1:] &= ~visible[:-1]
    run_start = np.maximum.accumulate(np.where(starts, positions, 0))
    starts |= visible & ((positions - run_start) % MAX_WORD_CHARS == 0)
    word = np.cumsum(starts) - 1
    word[:-1] += starts[1:] & ~visible[:-1]
    stops = visible.copy()
    stops[:-1] &= ~visible[1:] | starts[1:]
    return word, np.flatnonzero(starts), np.flatnonzero(stops)


def _sparse(layout: _Layout) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """Return the occurrences, and the share of each text's tokens that it has said before."""
    positions, char_hashes = _char_ngrams(layout)
    token_first, token_hashes = _tokens(layout)
    pair, pair_hashes = _pairs(layout, token_first, token_hashes)

    place = np.concatenate([positions, token_first, token_first[pair]])
    document = layout.document[place]
    mixed = _mix(np.concatenate([char_hashes, token_hashes, pair_hashes]))
    bucket = (mixed >> np.uint64(64 - BUCKET_BITS)).view(np.int64)
    value = _values(document, bucket, len(positions), layout.count)
    word = layout.word[place]
    # A pair lies in two words, each of which bears half of it.
    pairs = slice(len(place) - len(pair), len(place))
    value[pairs] /= 2
    occurrences = (
        np.concatenate([document, document[pairs]]),
        np.concatenate([bucket, bucket[pairs]]),
        np.concatenate([value, value[pairs]]),
        np.concatenate([word, layout.word[token_first[pair + 1]]]),
    )
    return occurrences, _repetition(layout.document[token_first], token_hashes, layout.count)


def _char_ngrams(layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the start and the hash of each n-gram whose only spaces are at its two ends."""
    space = layout.kinds == _SPACE
    size = len(space)
    # The reach of a start is how many characters there are up to and with the next space.
    positions = np.arange(size)
    spaces = np.flatnonzero(space)
    before = np.cumsum(space)
    next_space = np.append(spaces, size)[np.minimum(before, len(spaces))]
    reach = next_space - positions + 1
    reach[space & (reach == 2)] = 0
    reach[-1:] = 0
    starts, hashes = [np.zeros(0, np.intp)], [np.zeros(0, np.uint64)]
    wide = layout.codes.astype(np.uint64)
    running = wide
    for n in range(2, min(MAX_CHARS, size) + 1):
        running = running[:-1] * _MULTIPLIER + wide[n - 1 :]
        if n >= MIN_CHARS:
            fits = np.flatnonzero(reach[: len(running)] >= n)
            starts.append(fits)
            hashes.append(running[fits] + np.uint64(n))
    return np.concatenate(starts), np.concatenate(hashes)


def _tokens(layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the start and the hash of each token: a run of letters and digits, or a single symbol."""
    symbol = layout.kinds == _SYMBOL
    inside = layout.kinds >= _LETTER
    letter = inside & ~symbol
    starts = inside.copy()
    starts[1:] &= ~letter[:-1] | symbol[1:]
    first = np.flatnonzero(starts)
    if not len(first):
        return first, np.zeros(0, np.uint64)
    where = np.flatnonzero(inside)
    edges = np.searchsorted(where, first)
    within = where - np.repeat(first, np.diff(edges, append=len(where)))
    terms = (layout.codes[where] + np.uint64(1)) * _POWERS[np.minimum(within, MAX_WORD_CHARS - 1)]
    return first, np.add.reduceat(terms, edges)


def _pairs(layout: _Layout, first: np.ndarray, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return, for each token with a neighbour to its right in the same text, its index and the pair's hash."""
    document = layout.document[first]
    pair = np.flatnonzero(document[1:] == document[:-1])
    return pair, _mix(hashes[pair]) * _MULTIPLIER + hashes[pair + 1]


def _mix(hashes: np.ndarray) -> np.ndarray:
    """Spread each hash over all 64 bits (the finaliser of MurmurHash3, Appleby 2011)."""
    hashes = hashes ^ (hashes >> np.uint64(33))
    hashes *= np.uint64(0xFF51AFD7ED558CCD)
    hashes ^= hashes >> np.uint64(33)
    hashes *= np.uint64(0xC4CEB9FE1A85EC53)
    hashes ^= hashes >> np.uint64(33)
    return hashes


def _values(document: np.ndarray, bucket: np.ndarray, chars: int, documents: int) -> np.ndarray:
    """Return the value of each occurrence; the first `chars` occurrences are the characters' block."""
    size = len(document)
    if not size:
        return np.zeros(0)
    # One sort of (document, block, bucket, occurrence) brings equal features together. The low 32
    # bits hold the occurrence, which leaves 12 for the text and one for the sign.
    block = document << 1
    block[chars:] |= 1
    key = (((block << BUCKET_BITS) | bucket) << 32) | np.arange(size)
    key.sort()
    feature = key >> 32
    first = np.flatnonzero(feature[1:] != feature[:-1]) + 1
    first = np.concatenate([[0], first])
    tf = np.diff(first, append=size)
    several = np.flatnonzero(tf > 1)
    weight = np.ones(len(tf))
    weight[several] += np.log(tf[several])
    owner = feature[first] >> BUCKET_BITS
    norm = np.bincount(owner, weight * weight, minlength=2 * documents) ** (NORM_POWER / 2)
    shared = weight / norm[owner]
    shared[several] /= tf[several]
    value = np.empty(size)
    value[key & 0xFFFFFFFF] = np.repeat(shared, tf)
    return value


def _word_ranges(
    layout: _Layout, word_document: np.ndarray, normalised: Sequence[Normalised]
) -> tuple[np.ndarray, np.ndarray]:
    """Return where each word begins and ends in its original text, edges cleared of punctuation."""
    size = len(layout.codes)
    positions = np.arange(size)
    plain = layout.kinds >= _LETTER
    after = np.minimum.accumulate(np.where(plain, positions, size)[::-1])[::-1]
    before = np.maximum.accumulate(np.where(plain, positions, -1))
    first, last = after[layout.word_first], before[layout.word_last]
    # A word of punctuation alone keeps its edges.
    only = first > layout.word_last
    first, last = np.where(only, layout.word_first, first), np.where(only, layout.word_last, last)
    shift = layout.offsets[word_document] + 1
    begin, end = first - shift, last - shift + 1
    edges = np.searchsorted(word_document, np.arange(len(normalised) + 1))
    for index, item in enumerate(normalised):
        if item.begin is not None:
            here = slice(edges[index], edges[index + 1])
            begin[here], end[here] = item.original(begin[here], end[here])
    return begin, end


def _dense(layout: _Layout, texts: Sequence[str], repetition: np.ndarray) -> np.ndarray:
    """Return the plain numbers, each within 0..1, in the order of DENSE_NAMES."""
    count = layout.count
    kinds = np.bincount(layout.document * _KIND_COUNT + layout.kinds, minlength=count * _KIND_COUNT)
    kinds = kinds.reshape(count, _KIND_COUNT).astype(np.float64)
    visible = np.maximum(kinds[:, _SPACE + 1 :].sum(axis=1), 1)
    letters = np.maximum(kinds[:, _LETTER] + kinds[:, _FOREIGN], 1)
    punctuation = kinds[:, _EXCLAMATION : _PUNCTUATION + 1].sum(axis=1)
    words = np.bincount(layout.document[layout.word_first], minlength=count).astype(np.float64)
    capitals, lines = _capitals_and_lines(texts)
    links, link_chars, markup, handles = _links(layout)
    return np.column_stack(
        [
            _some(visible, 5000),
            1 / (1 + words / 4),
            # Two capitals in "OK" are not shouting: the share counts in full from 20 letters on.
            np.minimum(capitals / letters, 1) * np.minimum(letters / 20, 1),
            _some(kinds[:, _EXCLAMATION], 20),
            _some(kinds[:, _QUESTION], 20),
            kinds[:, _DIGIT] / visible,
            kinds[:, _FOREIGN] / letters,
            _some(kinds[:, _SYMBOL], 20),
            punctuation / visible,
            _some(links, 20),
            np.minimum(links, 1),
            np.minimum(markup, 1),
            link_chars / visible,
            _some(_stretched(layout), 20),
            repetition,
            _some(lines, 20),
            _some(kinds[:, _MONEY], 20),
            np.minimum(visible / np.maximum(words, 1) / 20, 1),
            _some(handles, 5),
        ]
    )


def _some(number: np.ndarray, many: float) -> np.ndarray:
    """Map a count to 0..1 by its logarithm: the first ones matter most, `many` and more are 1."""
    return np.minimum(np.log1p(number) / math.log1p(many), 1.0)


def _capitals_and_lines(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return how many ASCII capitals and line ends the original texts have: normalising takes both away."""
    _text, codes, document = _join(texts)
    capitals = np.bincount(document[(codes >= 65) & (codes <= 90)], minlength=len(texts))
    return capitals, np.bincount(document[codes == 10], minlength=len(texts))


def _stretched(layout: _Layout) -> np.ndarray:
    """Return how many letters stand where the same letter already stood twice (sooo)."""
    codes = layout.codes
    same = codes[1:] == codes[:-1]
    triple = np.flatnonzero(same[1:] & same[:-1])
    triple = triple[layout.kinds[triple] >= _LETTER]
    return np.bincount(layout.document[triple], minlength=layout.count)


# What links, marked-up links and handles are written with: fixed strings only, which are found in
# linear time, as a pattern for host names would not be.
_LINK_PARTS = re.compile(
    r"(?P<link>://|www\.|\.(?:com|net|org|info|biz|ru|ly/|co/))|(?P<markup><a |href=|\[url|\[link)|(?P<handle>@user)"
)


def _links(layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return for each text the words that hold a link, their characters, the marked-up links and the handles."""
    count = layout.count
    places: dict[str, list[int]] = {"link": [], "markup": [], "handle": []}
    for match in _LINK_PARTS.finditer(layout.text):
        places[match.lastgroup or ""].append(match.start())
    linked = np.unique(layout.word[np.array(places["link"], np.intp)])
    first = layout.word_first[linked]
    sizes = layout.word_last[linked] - first + 1
    return (
        np.bincount(layout.document[first], minlength=count),
        np.bincount(layout.document[first], sizes, minlength=count),
        np.bincount(layout.document[np.array(places["markup"], np.intp)], minlength=count),
        np.bincount(layout.document[np.array(places["handle"], np.intp)], minlength=count),
    )


def _repetition(document: np.ndarray, hashes: np.ndarray, count: int) -> np.ndarray:
    """Return the share of each text's tokens that it has said before."""
    key = (document << 32) | (_mix(hashes) >> np.uint64(32)).view(np.int64)
    key.sort()
    again = key[1:][key[1:] == key[:-1]] >> 32
    return np.bincount(again, minlength=count) / np.maximum(np.bincount(document, minlength=count), 1)
