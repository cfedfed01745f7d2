"""Figures: each is the textbook's, and says on how many rows it rests."""

import numpy as np

from training.evaluate import MIN_OF_EACH_CLASS, by_source, ranking, reliability


def test_ranking_leaves_unknown_rows_out() -> None:
    """A perfect ranking is 1 whatever stands on rows of unknown label, and the counts are of known ones."""
    scores = np.concatenate([np.full(30, 0.9), np.full(40, 0.1), np.linspace(0, 1, 10)])
    truth = np.repeat([1, 0, -1], [30, 40, 10])

    assert {"auc": 1.0, "ap": 1.0, "positives": 30, "negatives": 40} == ranking(scores, truth)


def test_too_few_rows_have_no_figure() -> None:
    """An AUC of a handful of rows is chance, so there is none."""
    truth = np.repeat([1, 0], [MIN_OF_EACH_CLASS - 1, 100])

    assert ranking(np.random.default_rng(0).random(len(truth)), truth) is None
    assert {} == by_source(np.zeros(len(truth)), truth, ["one"] * len(truth))


def test_reliability_sees_false_promises() -> None:
    """Scores that come true have no calibration error; scores of 0.9 that come true half the time have 0.4."""
    random = np.random.default_rng(0)
    scores = random.random(20_000)
    true, even = (random.random(20_000) < scores).astype(int), np.ones(20_000)

    assert reliability(scores, true, even)["expected_calibration_error"] < 0.02
    half = reliability(np.full(10, 0.9), np.tile([0, 1], 5), np.ones(10))
    assert 0.4 == half["expected_calibration_error"]
    assert [{"rows": 10, "mean_score": 0.9, "positive_share": 0.5}] == half["bins"]
