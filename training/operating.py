"""Find the thresholds of a card: each stands for a sentence, and keeps that sentence on held-out rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

# Share of ordinary news comments that a label may flag. Together some 3 to 5 % reach a person, which a
# desk can read; the share of each follows how often the label is found and how much harm it does.
FLAG_SHARE = {
    "toxicity": 0.02,
    "insult": 0.01,
    "profanity": 0.005,
    "threat": 0.003,
    "identity_attack": 0.005,
    "spam": 0.005,
}

REJECT_PRECISION = 0.99

# Fewer finds than this say nothing about a precision of 0.99.
MIN_REJECTED = 30

# Thresholds are rounded up to this many decimals: enough for the rare labels, and readable.
DECIMALS = 5


def operating_points(
    scores: np.ndarray, truth: np.ndarray, weight: np.ndarray, clean: np.ndarray, label: str
) -> dict[str, dict[str, Any] | None]:
    """Return the points "flag" and "reject" of one label.

    `scores`, `truth` and `weight` are of held-out rows that have the label, weighed so that it occurs as
    often as in life; `clean` are the scores of held-out ordinary news comments.
    """
    return {"flag": flag_point(scores, truth, clean, FLAG_SHARE[label]), "reject": reject_point(scores, truth, weight)}


def flag_point(scores: np.ndarray, truth: np.ndarray, clean: np.ndarray, share: float) -> dict[str, Any]:
    """Return the lowest threshold that flags at most `share` of the clean comments. Raises ValueError without any."""
    if not len(clean):
        raise ValueError("There are no held-out ordinary news comments to take the thresholds from.")
    falling = np.sort(clean)[::-1]
    threshold = _above(falling[min(int(share * len(clean)), len(clean) - 1)])
    return {
        "meaning": f"at most {share * 100:g} % of ordinary news comments",
        "threshold": threshold,
        "flagged_share": round(float((clean >= threshold).mean()), 5),
        "recall": round(float((scores[truth == 1] >= threshold).mean()), 4) if (truth == 1).any() else None,
        "clean_comments": len(clean),
    }


def reject_point(scores: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> dict[str, Any] | None:
    """Return the lowest threshold that reaches REJECT_PRECISION, or None if none does.

    Precision is the weight of the positives found over the weight of all found. One false alarm of
    average weight is added to those counted (Laplace's rule), so that a small sample without any does
    not pass for proof.
    """
    order = np.argsort(-scores, kind="stable")
    found = np.cumsum(np.where(truth == 1, weight, 0.0)[order])
    alarms = np.cumsum(np.where(truth == 0, weight, 0.0)[order]) + weight[truth == 0].mean()
    precision = found / (found + alarms)
    # A threshold takes in all rows of its score, so only the last of equal scores is one.
    last = np.append(np.diff(scores[order]) != 0, True)
    enough = np.cumsum(truth[order] == 1) >= MIN_REJECTED
    reached = np.flatnonzero(last & enough & (precision >= REJECT_PRECISION))
    if not len(reached):
        return None
    lowest = reached[-1]
    threshold = float(scores[order][lowest])
    if lowest + 1 < len(scores):
        # A rounded number between this score and the next is as good, and readable.
        threshold = min(threshold, _above(scores[order][lowest + 1]))
    rate = float(weight[truth == 1].sum() / weight.sum())
    return {
        "meaning": f"precision >= {REJECT_PRECISION:g} where {rate * 100:.3g} % of comments have the label",
        "threshold": threshold,
        "precision": round(float(precision[lowest]), 4),
        "recall": round(float(found[lowest] / found[-1]), 4),
    }


def union_share(clean: np.ndarray, labels: tuple[str, ...], points: Mapping[str, Any]) -> float:
    """Return the share of clean comments, (rows, labels), that at least one label flags."""
    thresholds = np.array([points[label]["flag"]["threshold"] for label in labels])
    return float((clean >= thresholds).any(axis=1).mean())


def _above(score: float) -> float:
    """Return a rounded number above the score."""
    return min(round(math.floor(score * 10**DECIMALS) / 10**DECIMALS + 10**-DECIMALS, DECIMALS), 1.0)
