"""The scoring path: one way for one comment and for many, exact shares, and an answer for any text."""

import dataclasses
import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier import LABELS, Comment, Model
from classifier.features import passes
from classifier.model import MAX_SPANS_PER_LABEL, MIN_SPAN_WEIGHT
from classifier.scoring import probabilities, weigh

TEXTS = st.text(st.characters(exclude_categories=()), max_size=200)
WORDS = st.lists(st.sampled_from(["you", "IDIOT!", "http://x.example", "caf\u00e9", "\U0001f600", "no", "\n"])).map(
    " ".join
)

ODD_TEXTS = [
    ("", "nothing"),
    (" \n\t ", "white space"),
    ("word " * 5000, "25,000 characters"),
    ("a" * 30_000, "30,000 characters without a space"),
    ("\U0001f600" * 500, "only emoji"),
    ("\u4f60\u597d\uff0c\u4e16\u754c\u3002" * 100, "Chinese"),
    ("\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "Arabic"),
    ("\ud800\udfff\ud800", "lone surrogates"),
    ("\x00\x01\x7f", "only controls"),
    ("\u200b\u200b", "only invisible characters"),
    ("\u0301" * 500, "only combining marks"),
    ("...!!!", "only punctuation"),
]


@pytest.mark.parametrize(("text", "why"), ODD_TEXTS, ids=[row[1] for row in ODD_TEXTS])
def test_an_odd_text_gets_a_score(shipped: Model, text: str, why: str) -> None:
    """No exception, no NaN, each score within 0 and 1, in bounded time."""
    started = time.process_time()
    verdict = shipped.score([Comment(text)])[0]

    assert list(LABELS) == list(verdict.scores), why
    assert all(0 <= score <= 1 for score in verdict.scores.values()), why
    assert time.process_time() - started < 2, why


def test_nothing_in_nothing_out(shipped: Model) -> None:
    """An empty batch has no verdicts."""
    assert [] == shipped.score([])


@settings(deadline=None)
@given(st.lists(TEXTS | WORDS, max_size=8))
def test_batch_equals_single(random_model: Model, texts: list[str]) -> None:
    """A comment gets the very same verdict alone and in a batch: scores, spans and all."""
    comments = [Comment(text) for text in texts]

    assert [random_model.score([comment])[0] for comment in comments] == random_model.score(comments)


def test_batch_equals_single_across_passes(random_model: Model) -> None:
    """The same holds where a batch is worked through in several passes."""
    texts = [f"comment number {index} says you are wrong, {'really ' * (index % 50)}" for index in range(600)]

    assert len(list(passes(texts))) > 1
    batch = random_model.score([Comment(text) for text in texts])
    assert [random_model.score([Comment(text)])[0] for text in texts[::37]] == batch[::37]


@settings(deadline=None)
@given(st.lists(TEXTS | WORDS, min_size=1, max_size=5))
def test_shares_sum_to_the_logit(random_model: Model, texts: list[str]) -> None:
    """Words, plain numbers and bias together are the logit, and the logit is the score: nothing is left over."""
    weighed = weigh(random_model.weights, texts)
    verdicts = random_model.score([Comment(text) for text in texts])

    for index, verdict in enumerate(verdicts):
        words = weighed.words[weighed.features.word_document == index].sum(axis=0)
        total = words + weighed.dense[index] + weighed.bias
        assert np.allclose(weighed.logits[index], total, rtol=0, atol=1e-9)
        assert probabilities(weighed.logits)[index].tolist() == list(verdict.scores.values())


@settings(deadline=None)
@given(TEXTS | WORDS)
def test_spans_lie_in_the_text_and_carry_a_words_share(random_model: Model, text: str) -> None:
    """Each span is a non-empty part of the original, at most three a label, the heaviest first."""
    spans = random_model.score([Comment(text)])[0].spans
    weighed = weigh(random_model.weights, [text])
    shares = {
        (label, int(begin), int(end), float(weighed.words[word, index]))
        for index, label in enumerate(LABELS)
        for word, (begin, end) in enumerate(zip(weighed.features.word_begin, weighed.features.word_end, strict=True))
    }

    for label in LABELS:
        own = [span for span in spans if span.label == label]
        assert len(own) <= MAX_SPANS_PER_LABEL
        assert sorted((span.weight for span in own), reverse=True) == [span.weight for span in own]
    for span in spans:
        assert 0 <= span.begin < span.end <= len(text)
        assert span.weight >= MIN_SPAN_WEIGHT
        assert dataclasses.astuple(span) in shares


def test_logits_of_any_size_have_a_probability() -> None:
    """Neither end overflows, and the middle is a half."""
    assert [0.0, 0.5, 1.0] == probabilities(np.array([-1e4, 0.0, 1e4])).tolist()


def test_a_verdict_is_frozen_and_json_ready(shipped: Model) -> None:
    """as_dict() carries plain values; the verdict itself cannot be changed."""
    verdict = shipped.score([Comment("You idiot", name="A", email="a@b.example", website=None)])[0]
    content = json.loads(json.dumps(verdict.as_dict()))

    assert {"scores", "model", "spans"} == set(content)
    assert shipped.version == content["model"]
    assert {"label": "toxicity", "begin": 4, "end": 9} == {
        name: value for name, value in content["spans"][0].items() if name != "weight"
    }
    with pytest.raises(TypeError):
        verdict.scores["toxicity"] = 0.0  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.model = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        shipped.card = None  # type: ignore[misc,assignment]


def test_name_email_and_website_do_not_move_the_score(shipped: Model) -> None:
    """Ham in the data has these fields removed, so this model must not and does not read them."""
    bare, full = shipped.score(
        [Comment("Nice post."), Comment("Nice post.", "Cheap Pills", "x@spam.example", "http://casino.example")]
    )

    assert bare == full
