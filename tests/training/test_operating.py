"""Operating points: each threshold keeps the sentence that it stands for."""

import numpy as np
import pytest

from classifier import LABELS
from training.operating import FLAG_SHARE, MIN_REJECTED, flag_point, reject_point, union_share


def test_every_label_has_a_share() -> None:
    """No label is without a limit on what it may send to a person."""
    assert list(LABELS) == list(FLAG_SHARE)


@pytest.mark.parametrize("share", [0.0, 0.005, 0.02, 0.5])
def test_flagging_keeps_its_share(share: float) -> None:
    """At most the share of clean comments lies at or above the threshold, and with one step less it would not."""
    clean = np.random.default_rng(0).random(1000)
    point = flag_point(clean, np.zeros(1000), clean, share)

    assert (clean >= point["threshold"]).mean() <= share
    assert (clean >= point["threshold"] - 1e-3).mean() > share - 0.002
    assert point["flagged_share"] == (clean >= point["threshold"]).mean()


def test_equal_scores_are_not_cut_in_two() -> None:
    """Where many clean comments share the score at the limit, none of them is flagged."""
    clean = np.array([0.9] * 50 + [0.1] * 50)

    assert flag_point(clean, np.zeros(100), clean, 0.02)["threshold"] > 0.9


def test_without_clean_comments_there_is_no_threshold() -> None:
    """It is said rather than guessed."""
    with pytest.raises(ValueError, match="no held-out"):
        flag_point(np.zeros(3), np.zeros(3), np.zeros(0), 0.02)


def test_rejecting_needs_proof() -> None:
    """A clean separation of many rows has a threshold; few rows, or noisy ones, have none."""
    many = 5000
    truth = np.repeat([1, 0], many)
    weight = np.repeat([0.5 / many, 0.5 / many], many)
    apart = np.concatenate([np.linspace(0.6, 1, many), np.linspace(0, 0.5, many)])
    point = reject_point(apart, truth, weight)

    assert point is not None
    assert 0.5 - 0.02 < point["threshold"] < 0.6
    assert point["precision"] >= 0.99
    assert point["recall"] == 1
    few = slice(many - MIN_REJECTED + 1, many + 2000)
    assert reject_point(apart[few], truth[few], weight[few]) is None
    assert reject_point(np.random.default_rng(0).random(2 * many), truth, weight) is None


def test_any_label_flags() -> None:
    """The union counts a comment once, however many labels flag it."""
    points = {label: {"flag": {"threshold": 0.5}} for label in LABELS}
    clean = np.zeros((4, len(LABELS)))
    clean[0] = 1
    clean[1, 5] = 0.5

    assert union_share(clean, LABELS, points) == 0.5
