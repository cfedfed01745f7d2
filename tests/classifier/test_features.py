"""Features: which n-grams a text has, what they weigh, and which word they came from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.features import (
    BUCKETS,
    DENSE_NAMES,
    MAX_WORD_CHARS,
    NORM_POWER,
    PASS_CHARS,
    PASS_TEXTS,
    extract,
    passes,
)


def test_a_word_has_the_ngrams_that_can_be_counted_by_hand() -> None:
    """' ab ' has three 2-grams, two 3-grams and one 4-gram, and one token: each in its block, with its value."""
    found = extract(["ab"])

    assert 3 + 2 + 1 + 1 == len(found.bucket)
    assert found.bucket.min() >= 0
    assert found.bucket.max() < BUCKETS
    assert np.allclose(6 ** (-NORM_POWER / 2), found.value[:6])
    assert found.value[6] == 1


def test_repeating_counts_by_its_logarithm() -> None:
    """A token said three times has the value (1 + ln 3) / norm, shared among the three."""
    found = extract(["no no no"])
    tokens = found.value[-7:-4]
    own, pair = 1 + np.log(3), 1 + np.log(2)
    norm = (own**2 + pair**2) ** (NORM_POWER / 2)

    assert np.allclose(own / norm / 3, tokens)
    assert np.allclose(pair / norm / 2 / 2, found.value[-4:])


def test_no_ngram_crosses_a_space() -> None:
    """The character n-grams of two words are those of each alone, so their order does not matter."""
    one = extract(["good day"])
    other = extract(["day good"])

    # Two tokens and the two halves of their pair stand last.
    assert sorted(one.bucket[:-4]) == sorted(other.bucket[:-4])
    assert set(one.bucket[-2:]) != set(other.bucket[-2:])


def test_words_are_found_in_the_original_without_their_punctuation() -> None:
    """Ranges are of the original text; punctuation at the edges is left out, unless there is nothing else."""
    text = '"Id\u200biot!" \u2014 don\u2019t -- \U0001f600'
    found = extract(["x", text])
    here = found.word_document == 1

    words = [text[low:high] for low, high in zip(found.word_begin[here], found.word_end[here], strict=True)]
    assert ["Id\u200biot", "\u2014", "don\u2019t", "--", "\U0001f600"] == words


def test_a_text_without_spaces_is_cut_into_words_of_bounded_length() -> None:
    """A Chinese text does not become one single mark."""
    found = extract(["\u4f60\u597d" * 100])

    assert 4 == len(found.word_begin)
    assert (found.word_end - found.word_begin).max() == MAX_WORD_CHARS


SPAM_SIGNS = [
    ("see http://pills.example now", "links", "a link with a scheme"),
    ("see www.pills.example", "has_link", "a link without one"),
    ("see pills.com", "has_link", "a bare domain"),
    ("<a href='http://x.example'>x</a>", "has_markup_link", "an anchor"),
    ("[url=http://x.example]x[/url]", "has_markup_link", "a forum's anchor"),
    ("READ THIS NOW EVERYBODY PLEASE", "capitals", "shouting"),
    ("buy!!!", "exclamation_marks", "exclamation"),
    ("sooooo good", "stretched", "stretched letters"),
    ("buy buy buy", "repeated_words", "repetition"),
    ("only $5", "money", "a price"),
    ("\U0001f600\U0001f600", "symbols", "emoji"),
    ("\u041f\u0440\u0438\u0432\u0435\u0442", "not_ascii", "another script"),
    ("write @someone", "handles", "a handle"),
]


@pytest.mark.parametrize(("text", "name", "why"), SPAM_SIGNS, ids=[row[2] for row in SPAM_SIGNS])
def test_plain_numbers_see_what_they_are_named_for(text: str, name: str, why: str) -> None:
    """Each number is 0 for an ordinary sentence and above it for the row's text."""
    found = dict(zip(DENSE_NAMES, extract(["the bridge opens today", text]).dense.T, strict=True))

    assert found[name][0] == 0, why
    assert found[name][1] > 0, why


@given(st.lists(st.text(st.characters(exclude_categories=())), max_size=6))
def test_a_text_has_the_same_features_in_any_company(texts: list[str]) -> None:
    """Each text's part of a batch is exactly what it gets alone; the plain numbers lie within 0 and 1."""
    batch = extract(texts)

    assert (len(texts), len(DENSE_NAMES)) == batch.dense.shape
    assert ((batch.dense >= 0) & (batch.dense <= 1)).all()
    for index, text in enumerate(texts):
        alone, here = extract([text]), batch.document == index
        assert sorted(zip(alone.bucket, alone.value, strict=True)) == sorted(
            zip(batch.bucket[here], batch.value[here], strict=True)
        )
        assert alone.dense[0].tolist() == batch.dense[index].tolist()
        assert alone.word_begin.tolist() == batch.word_begin[batch.word_document == index].tolist()


def test_a_batch_is_cut_into_passes_without_loss() -> None:
    """No pass has too many texts or characters, save for a single long text, and nothing is lost or moved."""
    texts = ["", "a" * (PASS_CHARS + 1), *["ab"] * (PASS_TEXTS + 5), "b" * PASS_CHARS]
    found = [list(part) for part in passes(texts)]

    assert texts == [text for part in found for text in part]
    assert all(len(part) == 1 or sum(map(len, part)) <= PASS_CHARS for part in found)
    assert all(len(part) <= PASS_TEXTS for part in found)
    with pytest.raises(ValueError, match="see passes"):
        extract([""] * (PASS_TEXTS + 1))
