"""Undo what hides a text from a reader's eye, and promise to say where each character came from.

`normalise()` runs the steps in `STEPS`, one after the other. A step takes a text and returns an
`Edit`: the new text and, for each of its characters, the half-open range of the step's input that it
stands for. The ranges compose, so a later step never needs to know of an earlier one, and a new kind
of evasion is one more function in the list. Each step takes time linear in the text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import numpy as np

# A run of combining marks longer than this is decoration ("zalgo"), never spelling: Unicode's
# Stream-Safe Text Format (UAX 15) allows 30 marks. Cutting there also keeps normalisation linear,
# because sorting the marks of one endless cluster takes quadratic time.
MAX_CLUSTER_CHARS = 31

# Default-ignorable code points that are not of category Cf: nothing is drawn for them.
_INVISIBLE = frozenset(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x3164, 0xFFA0]
    + [*range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000)]
)

# Typewriters' and typesetters' marks are the same to a reader, and sources differ in them by house style.
_TYPESET = {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}

# ASCII controls that are not white space; white space must stay, because it parts words.
_ASCII_CONTROL = re.compile("[\x00-\x08\x0e-\x1b\x7f]")

# The corpora come with addresses and handles masked. Real ones are masked alike here, so that a
# comment with a handle is read as the comments were that the model learned from. The repetitions
# are bounded, which bounds the time that a text of many near-addresses can take.
_EMAIL = r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{1,64}"
_HANDLE = r"(?<![\w.+-])@\w{1,64}"
_ADDRESS = re.compile(f"({_EMAIL})|{_HANDLE}")
EMAIL_MASK = "someone@example.com"
HANDLE_MASK = "@user"


class Edit(NamedTuple):
    """A step's result: character i of `text` stands for input[begin[i]:end[i]]."""

    text: str
    begin: np.ndarray
    end: np.ndarray


class Normalised(NamedTuple):
    """A text as the model reads it, and the way back.

    `begin` and `end` hold, for each character, the range of original code points it stands for
    (end exclusive). Both are None when every character stands for the one in its own place, which
    is the common case and costs no memory.
    """

    text: str
    begin: np.ndarray | None = None
    end: np.ndarray | None = None

    def original(self, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Turn non-empty ranges of normalised positions into ranges of original code points."""
        if self.begin is None or self.end is None:
            return begin, end
        return self.begin[begin], self.end[end - 1]

    def then(self, edit: Edit | None) -> Normalised:
        """Put a further step's edit on top; None means that the step changed nothing it must tell."""
        if edit is None:
            return self
        if self.begin is None or self.end is None:
            return Normalised(edit.text, edit.begin, edit.end)
        if not len(self.text):
            return self
        return Normalised(edit.text, self.begin[edit.begin], self.end[edit.end - 1])


def normalise(text: str) -> Normalised:
    """Return the text as the model reads it, with the map back to the original code points.

    Any string is accepted, lone surrogates included. No exception, linear time.
    """
    state = Normalised(text)
    for step in STEPS:
        state = step(state)
    return state


def fold(state: Normalised) -> Normalised:
    """Bring to NFKC and fold case; drop what is invisible (zero-width, bidi and other controls)."""
    text = state.text
    if text.isascii() and not _ASCII_CONTROL.search(text):
        return state._replace(text=text.lower())
    distinct = set(text)
    if any(_joins(char) for char in distinct if char > "\x7f"):
        return state.then(_fold_clusters(text))
    table = {ord(char): _folded(char) for char in distinct}
    folded = text.translate(table)
    if len(folded) == len(text) and all(len(piece) == 1 for piece in table.values()):
        return state._replace(text=folded)
    lengths = np.fromiter((len(table[ord(char)]) for char in text), np.intp, len(text))
    begin = np.repeat(np.arange(len(text)), lengths)
    return state.then(Edit(folded, begin, begin + 1))


def mask_addresses(state: Normalised) -> Normalised:
    """Replace each e-mail address and @handle by the mask that stands for it in the training data."""
    text = state.text
    if "@" not in text:
        return state
    pieces: list[str] = []
    begins: list[np.ndarray] = []
    ends: list[np.ndarray] = []
    done = 0
    for match in _ADDRESS.finditer(text):
        between = np.arange(done, match.start())
        mask = EMAIL_MASK if match[1] else HANDLE_MASK
        pieces += [text[done : match.start()], mask]
        begins += [between, np.full(len(mask), match.start())]
        ends += [between + 1, np.full(len(mask), match.end())]
        done = match.end()
    if not pieces:
        return state
    between = np.arange(done, len(text))
    edit = Edit(
        "".join([*pieces, text[done:]]),
        np.concatenate([*begins, between]),
        np.concatenate([*ends, between + 1]),
    )
    return state.then(edit)


# The order matters: handles and addresses are recognised once they are written plainly.
STEPS = (fold, mask_addresses)


def _fold_clusters(text: str) -> Edit:
    """Fold cluster by cluster: a base with its marks composes to one character (e + acute = é)."""
    pieces: list[str] = []
    starts: list[int] = []
    start = 0
    for position in range(1, len(text) + 1):
        inside = position < len(text) and position - start < MAX_CLUSTER_CHARS
        if inside and _joins(text[position]):
            continue
        pieces.append(_folded(text[start:position]))
        starts.append(start)
        start = position
    lengths = np.fromiter(map(len, pieces), np.intp, len(pieces))
    edges = np.array([*starts, len(text)], np.intp)
    return Edit("".join(pieces), np.repeat(edges[:-1], lengths), np.repeat(edges[1:], lengths))


# English text needs a few hundred entries; the bound keeps a flood of rare characters from growing it.
@lru_cache(maxsize=4096)
def _folded(cluster: str) -> str:
    """Return NFKC with case folded (Unicode's NFKC_Casefold) for one character or cluster."""
    seen = "".join(_TYPESET.get(char, char) for char in cluster if not _is_invisible(char))
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())


@lru_cache(maxsize=4096)
def _joins(char: str) -> bool:
    """Say whether a character can combine with the one before it: a mark, or a Hangul vowel or final."""
    return unicodedata.category(char).startswith("M") or 0x1160 <= ord(char) <= 0x11FF


def _is_invisible(char: str) -> bool:
    category = unicodedata.category(char)
    if category == "Cc":
        return not char.isspace()
    return category == "Cf" or ord(char) in _INVISIBLE
