"""The scoring path: weigh a batch of texts, and promise that each text's weight is the sum of its words'.

A single comment is a batch of one and takes the same way. Sums run in the order of the text and in
double precision, so a comment gets the same number whatever stands beside it in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from classifier.features import Features, extract

# glibc hands each large array back to the kernel when it is freed, and fetching it again page by page took a third
# of the scoring time. It raises that limit, up to 32 MB, to the largest block it has seen freed: so one
# is shown to it. The block is never written to and costs no memory; other allocators are not affected.
HEAP_KEPT_BYTES = 24 << 20
np.empty(HEAP_KEPT_BYTES, np.uint8)


class Weights(NamedTuple):
    """A model's numbers: `sparse` (BUCKETS, labels), `dense` (dense features, labels), `bias` (labels).

    An n-gram's weights for all labels lie side by side, so that one look into memory fetches them.
    """

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
    gathered = weights.sparse.take(features.bucket, axis=0).T
    for label, row in enumerate(gathered):
        shares = features.value * row
        by_word[label] = np.bincount(features.word, shares, minlength=words)
        by_document[label] = np.bincount(features.word_document, by_word[label], minlength=count)
    # Not a matrix product, which may add up in another order for another size of batch.
    dense = (features.dense[:, :, None] * weights.dense).sum(axis=1)
    bias = weights.bias.astype(np.float64)
    return Weighed(by_document.T + dense + bias, by_word.T, dense, bias, features)


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + e^-logit), without overflow for any logit."""
    small = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1.0, small) / (1.0 + small)
