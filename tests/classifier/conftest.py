"""A small model of random weights for what holds for any model, and the shipped one."""

import numpy as np
import pytest

from classifier import LABELS, Card, Model, load
from classifier.features import BUCKETS, DENSE_NAMES, FEATURES_VERSION
from classifier.scoring import Weights


@pytest.fixture(scope="session")
def random_model() -> Model:
    """Weights that depend on nothing learned; half precision holds them exactly, so they survive a file."""
    random = np.random.default_rng(0)
    sparse = random.normal(size=(BUCKETS, len(LABELS))).astype(np.float16).astype(np.float32)
    dense = random.normal(size=(len(DENSE_NAMES), len(LABELS))).astype(np.float32)
    bias = random.normal(size=len(LABELS)).astype(np.float32)
    point = {"meaning": "for tests", "threshold": 0.5}
    card = Card(
        version="random-1",
        labels=LABELS,
        operating_points={label: {"flag": point, "reject": None} for label in LABELS},
        features_version=FEATURES_VERSION,
    )
    return Model(card, Weights(sparse, dense, bias))


@pytest.fixture(scope="session")
def shipped() -> Model:
    """The model that a user gets."""
    return load()
