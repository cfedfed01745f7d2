"""The model and what goes in and comes out: frozen values, and one method that scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from classifier.card import Card
from classifier.features import passes
from classifier.scoring import Weighed, Weights, probabilities, weigh

LABELS = ("toxicity", "insult", "profanity", "threat", "identity_attack", "spam")

# A person reads a few marked words at a glance; more of them mark nothing.
MAX_SPANS_PER_LABEL = 3

# A word that moves a label's logit by less than this changes a probability by under 0.07
# (the logistic function is never steeper than 1/4): not worth a reader's eye.
MIN_SPAN_WEIGHT = 0.25


class Comment(NamedTuple):
    """What is scored: the text and, where known, what its author filled in beside it."""

    text: str
    name: str | None = None
    email: str | None = None
    website: str | None = None


@dataclass(frozen=True, slots=True)
class Span:
    """Words that weighed: text[begin:end] in code points moved the label's logit by `weight`."""

    label: str
    begin: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """A comment's calibrated probability for each label, by which model, and the words that weighed most."""

    scores: Mapping[str, float]
    model: str
    spans: tuple[Span, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as plain values that JSON can carry."""
        spans = [
            {"label": span.label, "begin": span.begin, "end": span.end, "weight": span.weight} for span in self.spans
        ]
        return {"scores": dict(self.scores), "model": self.model, "spans": spans}


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier. It holds no state that scoring changes, so threads and processes may share it."""

    card: Card
    weights: Weights

    @property
    def version(self) -> str:
        """The version that stands on every verdict."""
        return self.card.version

    def score(self, comments: Sequence[Comment]) -> list[Verdict]:
        """Return one verdict a comment, in their order.

        Any string is a text, the empty one included. A comment's verdict does not depend on
        the others in the batch. This model leaves name, email and website unread.
        """
        verdicts: list[Verdict] = []
        for part in passes([comment.text for comment in comments]):
            verdicts += self._verdicts(weigh(self.weights, part))
        return verdicts

    def _verdicts(self, weighed: Weighed) -> list[Verdict]:
        labels, version = self.card.labels, self.version
        spans = self._spans(weighed)
        rows = probabilities(weighed.logits).tolist()
        return [
            Verdict(MappingProxyType(dict(zip(labels, row, strict=True))), version, tuple(spans.get(document, ())))
            for document, row in enumerate(rows)
        ]

    def _spans(self, weighed: Weighed) -> dict[int, list[Span]]:
        """Return each document's spans, label by label, the heaviest first."""
        features = weighed.features
        word, label = np.nonzero(weighed.words >= MIN_SPAN_WEIGHT)
        weight = weighed.words[word, label]
        document = features.word_document[word]
        order = np.lexsort((word, -weight, label, document))
        group = document[order].astype(np.int64) * len(self.card.labels) + label[order]
        rank = np.arange(len(group)) - np.searchsorted(group, group)
        order = order[rank < MAX_SPANS_PER_LABEL]
        names = self.card.labels
        found: dict[int, list[Span]] = {}
        for owner, name, begin, end, share in zip(
            document[order].tolist(),
            label[order].tolist(),
            features.word_begin[word[order]].tolist(),
            features.word_end[word[order]].tolist(),
            weight[order].tolist(),
            strict=True,
        ):
            found.setdefault(owner, []).append(Span(names[name], begin, end, share))
        return found
