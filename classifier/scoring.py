"""The scoring path: weigh a batch of texts, and promise that each text's weight is the sum of its words'.

A single comment is a batch of one and takes the same way. Sums run in the order of the text and in
double precision, so a comment gets the same number whatever stands beside it in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from classifier.features import Features, extract


class Weights(NamedTuple):
    """A model's numbers: `sparse` (labels, BUCKETS), `dense` (labels, dense features), `bias` (labels)."""

    sparse: np.ndarray
    dense: np.ndarray
    bias: np.ndarray


class Weighed(NamedTuple):
    """What a batch weighs, in logits: for each document and label, the words' sum plus dense plus bias.

    `logits` and `dense` are (documents, labels); `words` is (words, labels). The features say
    where each word stands.
    """

    logits: np.ndarray
    words: np.ndarray
    dense: np.ndarray
    bias: np.ndarray
    features: Features


def weigh(weights: Weights, texts: Sequence[str]) -> Weighed:
    """Return the logit of each label for each text, and each word's exact share in it."""
    features = extract(texts)
    count, words = len(texts), len(features.word_document)
    by_word = np.empty((len(weights.bias), words))
    by_document = np.empty((len(weights.bias), count))
    for label, row in enumerate(weights.sparse):
        shares = row[features.bucket] * features.value
        by_word[label] = np.bincount(features.word, shares, minlength=words)[:words]
        by_document[label] = np.bincount(features.word_document, by_word[label], minlength=count)[:count]
    # Summed column by column, because a matrix product may add up in another order for another batch.
    dense = np.zeros((count, len(weights.bias)))
    for column, values in enumerate(features.dense.T):
        dense += values[:, None] * weights.dense[:, column]
    bias = weights.bias.astype(np.float64)
    return Weighed(by_document.T + dense + bias, by_word.T, dense, bias, features)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-logit), without overflow for any logit."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)
