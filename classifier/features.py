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

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from classifier.text import Normalised, normalise

# Raise this whenever a text could get other features than before: `load()` refuses weights of another version.
FEATURES_VERSION = 1

# 2^18 buckets: six labels in half precision are 3.1 MB, and one label's row fits a core's cache.
BUCKET_BITS = 18
BUCKETS = 1 << BUCKET_BITS

MIN_CHARS, MAX_CHARS = 2, 5

# Words longer than this are cut for the purpose of marking. No English word is this long;
# a text without white space (Chinese, or keyboard mash) must not become a single mark.
MAX_WORD_CHARS = 64

# The exponent of a comment's length in its norm. 1 is the textbook's, under which an insult fades
# in a long comment; 0 would let long comments run away.
NORM_POWER = 1.0

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

_SPACE, _PUNCTUATION, _LETTER, _SYMBOL = 0, 1, 2, 3

# Kinds are tabled up to here. Beyond are ideographs and other letters, and the emoji range.
_TABLED = 0x3100
_EMOJI_FIRST, _EMOJI_LAST = 0x1F000, 0x1FAFF

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
with np.errstate(over="ignore"):
    _POWERS = np.cumprod(np.full(MAX_WORD_CHARS, _MULTIPLIER), dtype=np.uint64)

# Texts are worked through in passes of about this many characters: enough to make numpy's cost
# per call vanish, few enough to keep the arrays of a pass within some 60 MB.
PASS_CHARS = 1 << 16


def _kind(code: int) -> int:
    char = chr(code)
    if char.isspace():
        return _SPACE
    if char.isalnum() or unicodedata.category(char).startswith("M"):
        return _LETTER
    return _SYMBOL if unicodedata.category(char) == "So" else _PUNCTUATION


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

    codes: np.ndarray
    kinds: np.ndarray
    document: np.ndarray
    offsets: np.ndarray
    word: np.ndarray
    word_first: np.ndarray
    word_last: np.ndarray
    count: int


def extract(texts: Sequence[str]) -> Features:
    """Return the features of each text. Any string is accepted; time is linear in the characters."""
    normalised = [normalise(text) for text in texts]
    layout = _lay_out([item.text for item in normalised])
    sparse = _sparse(layout)
    word_document = layout.document[layout.word_first]
    begin, end = _word_ranges(layout, word_document, normalised)
    return Features(*sparse, word_document, begin, end, _dense(layout, texts))


def _codes(texts: Sequence[str]) -> np.ndarray:
    joined = " " + " ".join(texts) + " "
    return np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)


def _lay_out(texts: Sequence[str]) -> _Layout:
    codes = _codes(texts)
    kinds = _KINDS[np.minimum(codes, _TABLED - 1)]
    beyond = codes >= _TABLED
    if beyond.any():
        emoji = (codes >= _EMOJI_FIRST) & (codes <= _EMOJI_LAST)
        kinds = np.where(beyond, np.where(emoji, _SYMBOL, _LETTER), kinds).astype(np.uint8)
    # An apostrophe between letters is part of the word (don't); elsewhere it is a quotation mark.
    apostrophe = np.flatnonzero(codes == 0x27)
    inner = apostrophe[(kinds[apostrophe - 1] == _LETTER) & (kinds[apostrophe + 1] == _LETTER)]
    kinds[inner] = _LETTER
    codes = np.where(kinds == _SPACE, np.uint32(32), codes)

    sizes = np.fromiter(map(len, texts), np.intp, len(texts)) + 1
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    document = np.repeat(np.arange(len(texts), dtype=np.int32), sizes)
    document = np.append(document, np.int32(max(len(texts) - 1, 0)))
    word, first, last = _words(kinds != _SPACE)
    return _Layout(codes, kinds, document, offsets, word, first, last, len(texts))


def _words(visible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Number the words. Returns the number at each position (a space has its successor's) and each word's ends."""
    positions = np.arange(len(visible))
    starts = visible.copy()
    starts[1:] &= ~visible[:-1]
    run_start = np.maximum.accumulate(np.where(starts, positions, 0))
    starts |= visible & ((positions - run_start) % MAX_WORD_CHARS == 0)
    word = np.cumsum(starts, dtype=np.int32) - 1
    word[:-1] += starts[1:] & ~visible[:-1]
    stops = visible.copy()
    stops[:-1] &= ~visible[1:] | starts[1:]
    return word, np.flatnonzero(starts), np.flatnonzero(stops)


def _sparse(layout: _Layout) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    positions, char_hashes = _char_ngrams(layout)
    token_first, token_hashes = _tokens(layout)
    pair, pair_hashes = _pairs(layout, token_first, token_hashes)

    place = np.concatenate([positions, token_first, token_first[pair]])
    document = layout.document[place]
    bucket = (_mix(np.concatenate([char_hashes, token_hashes, pair_hashes])) >> np.uint64(64 - BUCKET_BITS)).astype(
        np.int32
    )
    value = _values(document, bucket, len(positions), layout.count)
    word = layout.word[place]
    if len(pair):
        # A pair lies in two words, each of which bears half of it.
        value[-len(pair) :] /= 2
        second = layout.word[token_first[pair + 1]]
        document = np.concatenate([document, document[-len(pair) :]])
        bucket = np.concatenate([bucket, bucket[-len(pair) :]])
        value = np.concatenate([value, value[-len(pair) :]])
        word = np.concatenate([word, second])
    return document, bucket, value, word


def _char_ngrams(layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the start and the hash of each n-gram whose only spaces are at its two ends."""
    codes, space = layout.codes, layout.kinds == _SPACE
    size = len(codes)
    wide = codes.astype(np.uint64)
    # The reach of a start is the number of characters up to and with the next space.
    positions = np.arange(size)
    next_space = np.minimum.accumulate(np.where(space, positions, size)[::-1])[::-1]
    reach = np.append(next_space[1:], size) - positions + 1
    reach[space & (reach == 2)] = 0
    reach[-1] = 0
    starts, hashes = [], []
    running = wide.copy()
    for n in range(2, MAX_CHARS + 1):
        running = running[: size - n + 1] * _MULTIPLIER + wide[n - 1 :]
        if n < MIN_CHARS or not len(running):
            continue
        fits = np.flatnonzero(reach[: len(running)] >= n)
        starts.append(fits)
        hashes.append(running[fits] + np.uint64(n))
    if not starts:
        return np.zeros(0, np.intp), np.zeros(0, np.uint64)
    return np.concatenate(starts), np.concatenate(hashes)


def _tokens(layout: _Layout) -> tuple[np.ndarray, np.ndarray]:
    """Return the start and the hash of each token: a run of letters and digits, or a single symbol."""
    letter, symbol = layout.kinds == _LETTER, layout.kinds == _SYMBOL
    inside = letter | symbol
    starts = inside.copy()
    starts[1:] &= ~letter[:-1] | symbol[1:]
    first = np.flatnonzero(starts)
    if not len(first):
        return first, np.zeros(0, np.uint64)
    where = np.flatnonzero(inside)
    within = where - np.repeat(first, np.diff(np.append(np.searchsorted(where, first), len(where))))
    terms = (layout.codes[where].astype(np.uint64) + np.uint64(1)) * _POWERS[np.minimum(within, MAX_WORD_CHARS - 1)]
    return first, np.add.reduceat(terms, np.searchsorted(where, first))


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
    block = document.astype(np.uint64) << np.uint64(1)
    block[chars:] |= np.uint64(1)
    # One sort of (document, block, bucket, occurrence) brings equal features together. The low 32
    # bits hold the occurrence, which leaves 13 for the document: a pass is never that long.
    key = (block << np.uint64(BUCKET_BITS)) | bucket.astype(np.uint64)
    key = (key << np.uint64(32)) | np.arange(size, dtype=np.uint64)
    key.sort()
    feature = key >> np.uint64(32)
    first = np.flatnonzero(np.append(True, feature[1:] != feature[:-1]))
    tf = np.diff(np.append(first, size)).astype(np.float64)
    weight = 1.0 + np.log(tf)
    owner = (feature[first] >> np.uint64(BUCKET_BITS)).astype(np.intp)
    norm = np.bincount(owner, weight * weight, minlength=2 * documents) ** (NORM_POWER / 2)
    shared = weight / tf / norm[owner]
    value = np.empty(size)
    value[(key & np.uint64(0xFFFFFFFF)).astype(np.intp)] = np.repeat(shared, tf.astype(np.intp))
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


def _dense(layout: _Layout, texts: Sequence[str]) -> np.ndarray:
    """Return the plain numbers, each within 0..1, in the order of DENSE_NAMES."""
    codes, kinds, count = layout.codes, layout.kinds, layout.count
    letter = kinds == _LETTER
    ascii_letter = (codes >= 97) & (codes <= 122)

    def tally(mask: np.ndarray) -> np.ndarray:
        return np.bincount(layout.document[np.flatnonzero(mask)], minlength=count)[:count].astype(np.float64)

    def some(number: np.ndarray, many: float) -> np.ndarray:
        return np.minimum(np.log1p(number) / np.log1p(many), 1.0)

    visible = tally(kinds != _SPACE)
    letters = tally(letter)
    words = np.bincount(layout.document[layout.word_first], minlength=count)[:count].astype(np.float64)
    some_visible, some_letters = np.maximum(visible, 1), np.maximum(letters, 1)
    raw, raw_document = _codes(texts), _documents(texts)
    capitals = np.bincount(raw_document[np.flatnonzero((raw >= 65) & (raw <= 90))], minlength=count)[:count]
    lines = np.bincount(raw_document[np.flatnonzero(raw == 10)], minlength=count)[:count]
    triple = np.zeros(len(codes), bool)
    triple[2:] = letter[2:] & (codes[2:] == codes[1:-1]) & (codes[2:] == codes[:-2])
    links, link_chars, markup = _links(layout, tally)
    return np.column_stack(
        [
            some(visible, 5000),
            1 / (1 + words / 4),
            # Two capitals in "OK" are not shouting: the share counts in full from 20 letters on.
            capitals / some_letters * np.minimum(letters / 20, 1),
            some(tally(codes == 33), 20),
            some(tally(codes == 63), 20),
            tally((codes >= 48) & (codes <= 57)) / some_visible,
            tally(letter & ~ascii_letter & (codes > 127)) / some_letters,
            some(tally(kinds == _SYMBOL), 20),
            tally(kinds == _PUNCTUATION) / some_visible,
            some(links, 20),
            np.minimum(links, 1),
            np.minimum(markup, 1),
            link_chars / some_visible,
            some(tally(triple), 20),
            _repetition(layout, words),
            some(lines, 20),
            some(tally((codes == 36) | (codes == 163) | (codes == 0x20AC) | (codes == 37)), 20),
            np.minimum(visible / np.maximum(words, 1) / 20, 1),
            some(_tally_string(layout, "@user", tally), 5),
        ]
    )


def _documents(texts: Sequence[str]) -> np.ndarray:
    sizes = np.fromiter(map(len, texts), np.intp, len(texts)) + 1
    return np.append(np.repeat(np.arange(len(texts), dtype=np.int32), sizes), np.int32(max(len(texts) - 1, 0)))


# What a link is written with. Fixed strings are found in linear time, which a pattern of host names is not.
_LINK_STRINGS = ("://", "www.", ".com", ".net", ".org", ".info", ".biz", ".ru", ".ly/", ".co/")
_MARKUP_STRINGS = ("<a ", "href=", "[url", "[link")


def _starts_of(codes: np.ndarray, string: str) -> np.ndarray:
    """Return the positions where a fixed string begins."""
    size = len(codes) - len(string) + 1
    if size <= 0:
        return np.zeros(0, np.intp)
    found = np.flatnonzero(codes[:size] == ord(string[0]))
    for offset, char in enumerate(string[1:], start=1):
        found = found[codes[found + offset] == ord(char)]
    return found


def _tally_string(layout: _Layout, string: str, tally) -> np.ndarray:
    found = _starts_of(layout.codes, string)
    return np.bincount(layout.document[found], minlength=layout.count)[: layout.count].astype(np.float64)


def _links(layout: _Layout, tally) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each document the words that hold a link, their characters, and the marked-up links."""
    count = layout.count
    holds = np.zeros(max(len(layout.word_first), 1), bool)
    for string in _LINK_STRINGS:
        found = _starts_of(layout.codes, string)
        holds[layout.word[found]] = True
    linked = np.flatnonzero(holds[: len(layout.word_first)])
    document = layout.document[layout.word_first[linked]]
    sizes = (layout.word_last - layout.word_first + 1)[linked]
    links = np.bincount(document, minlength=count)[:count].astype(np.float64)
    chars = np.bincount(document, sizes, minlength=count)[:count]
    markup = sum(_tally_string(layout, string, tally) for string in _MARKUP_STRINGS)
    return links, chars, markup


def _repetition(layout: _Layout, words: np.ndarray) -> np.ndarray:
    """Return the share of a text's words that it has said before."""
    count = layout.count
    if not len(layout.word_first):
        return np.zeros(count)
    within = np.arange(len(layout.codes)) - layout.word_first[np.maximum(layout.word, 0)]
    terms = layout.codes.astype(np.uint64) * _POWERS[np.clip(within, 0, MAX_WORD_CHARS - 1)]
    terms[layout.kinds == _SPACE] = 0
    hashes = _mix(np.add.reduceat(terms, layout.word_first)) >> np.uint64(32)
    document = layout.document[layout.word_first]
    distinct = np.unique((document.astype(np.uint64) << np.uint64(32)) | hashes) >> np.uint64(32)
    kept = np.bincount(distinct.astype(np.intp), minlength=count)[:count]
    return 1 - kept / np.maximum(words, 1) * (words > 0) - (words == 0)
