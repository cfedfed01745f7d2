"""Normalising undoes what hides a text, and can say where each character came from."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.text import normalise

NORMALISED = [
    ("Hello World", "hello world", "case is folded"),
    ("", "", "an empty text stays one"),
    ("id\u200biot", "idiot", "a zero-width space inside a word is dropped"),
    ("\u202eidiot\u202c", "idiot", "bidi controls are dropped"),
    ("id\x08iot\x00", "idiot", "ASCII controls that are not white space are dropped"),
    ("a\tb\nc", "a\tb\nc", "white space stays, because it parts words"),
    ("\uff29\uff24\uff29\uff2f\uff34", "idiot", "fullwidth letters are letters"),
    ("\U0001d422\U0001d41d\U0001d422\U0001d428\U0001d42d", "idiot", "mathematical letters are letters"),
    ("\ufb01sh", "fish", "a ligature becomes its letters"),
    ("stra\u00dfe", "strasse", "case folding may lengthen a word"),
    ("cafe\u0301", "caf\u00e9", "an accent written apart is composed"),
    ("caf\u00e9", "caf\u00e9", "an accent is kept"),
    ("\u1112\u1161\u11ab", "\ud55c", "Hangul written in parts is composed"),
    ("don\u2019t", "don't", "a typesetter's apostrophe is an apostrophe"),
    ("write to jane.doe@news.example now", "write to someone@example.com now", "an address is masked"),
    ("ask @JaneDoe!", "ask @user!", "a handle is masked"),
    ("2 @ 3", "2 @ 3", "an at sign alone is none"),
    ("\ud800x", "\ud800x", "a lone surrogate is kept"),
]


@pytest.mark.parametrize(("text", "expected", "why"), NORMALISED, ids=[row[2] for row in NORMALISED])
def test_normalises(text: str, expected: str, why: str) -> None:
    """Each row's text becomes what its sentence says."""
    assert expected == normalise(text).text, why


ORIGINALS = [
    ("id\u200biot!", "idiot", "id\u200biot", "what was dropped inside a word is inside its range"),
    ("\ufb01sh", "fi", "\ufb01", "both letters of a ligature come from it"),
    ("a cafe\u0301 b", "caf\u00e9", "cafe\u0301", "a composed letter comes from its base and its mark"),
    ("ask @JaneDoe now", "@user", "@JaneDoe", "a mask comes from all that it hides"),
    ("ask @\u200bjane\ufb01 now", "@user", "@\u200bjane\ufb01", "ranges compose over the steps"),
    ("plain words", "words", "words", "a plain text maps to itself"),
]


@pytest.mark.parametrize(("text", "part", "expected", "why"), ORIGINALS, ids=[row[3] for row in ORIGINALS])
def test_maps_back(text: str, part: str, expected: str, why: str) -> None:
    """A part of the normalised text leads back to what it was written as."""
    found = normalise(text)
    start = found.text.index(part)
    begin, end = found.original(np.array([start]), np.array([start + len(part)]))

    assert expected == text[begin[0] : end[0]], why


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_has_a_map_within_it(text: str) -> None:
    """Every normalised character has a non-empty range inside the original, and ranges never run backwards."""
    found = normalise(text)
    size = len(found.text)
    begin, end = found.original(np.arange(size), np.arange(size) + 1)

    assert size == len(begin) == len(end)
    assert all(0 <= low < high <= len(text) for low, high in zip(begin, end, strict=True))
    assert (np.diff(begin) >= 0).all()
    assert (np.diff(end) >= 0).all()


SLOW_IF_QUADRATIC = [
    ("a\u0301\u0316" * 30_000, "marks that sorting would have to swap"),
    ("a" * 90_000 + "@", "a long run before an at sign"),
    ("a@" * 45_000, "near-addresses without end"),
    ("\U0001f468\u200d" * 45_000, "joined emoji"),
]


@pytest.mark.parametrize(("text", "why"), SLOW_IF_QUADRATIC, ids=[row[1] for row in SLOW_IF_QUADRATIC])
def test_takes_linear_time(text: str, why: str) -> None:
    """90,000 hostile characters are done in a second or so, where quadratic work would take minutes."""
    started = time.process_time()
    normalise(text)

    assert time.process_time() - started < 3, why
