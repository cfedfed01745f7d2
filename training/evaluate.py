"""Measure a model as it is served, and promise that a figure says how many rows it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from tqdm import tqdm

from classifier import LABELS
from classifier.features import passes
from classifier.scoring import Weights, probabilities, weigh
from training.datasets import evaluation_files, labels_of, read_lines

# Fewer rows of one class than this give an AUC that is mostly chance.
MIN_OF_EACH_CLASS = 20

RELIABILITY_BINS = 10


def score_texts(weights: Weights, texts: Sequence[str], progress: str | None = None) -> np.ndarray:
    """Return probabilities, (texts, labels), by the path that serves. `progress` names a bar on a terminal."""
    texts = list(texts)
    parts = [np.zeros((0, len(LABELS)))]
    with tqdm(total=len(texts), desc=progress, unit=" rows", disable=None if progress else True) as bar:
        for part in passes(texts):
            parts.append(probabilities(weigh(weights, part).logits))
            bar.update(len(part))
    return np.concatenate(parts)


def ranking(scores: np.ndarray, truth: np.ndarray) -> dict[str, Any] | None:
    """Return ROC AUC and average precision with the counts, or None when a class is nearly empty."""
    positives, negatives = int((truth == 1).sum()), int((truth == 0).sum())
    if min(positives, negatives) < MIN_OF_EACH_CLASS:
        return None
    known = truth >= 0
    return {
        "auc": round(float(roc_auc_score(truth[known], scores[known])), 4),
        "ap": round(float(average_precision_score(truth[known], scores[known])), 4),
        "positives": positives,
        "negatives": negatives,
    }


def reliability(scores: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> dict[str, Any]:
    """Return what was promised and what came, by tenths of the score, and the expected calibration error.

    The error is the weighted mean over the bins of |mean score - share of positives| (Naeini et al. 2015).
    """
    bins = np.minimum((scores * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    table, error = [], 0.0
    for index in range(RELIABILITY_BINS):
        here = bins == index
        mass = float(weight[here].sum())
        if not mass:
            continue
        promised = float(np.average(scores[here], weights=weight[here]))
        came = float(np.average(truth[here], weights=weight[here]))
        error += mass / float(weight.sum()) * abs(promised - came)
        table.append({"rows": int(here.sum()), "mean_score": round(promised, 4), "positive_share": round(came, 4)})
    return {"expected_calibration_error": round(error, 4), "bins": table}


def by_source(scores: np.ndarray, truth: np.ndarray, sources: Sequence[str]) -> dict[str, Any]:
    """Return the ranking within each source that has rows enough of both classes."""
    sources = np.asarray(sources)
    found = {name: ranking(scores[sources == name], truth[sources == name]) for name in sorted(set(sources.tolist()))}
    return {name: figures for name, figures in found.items() if figures}


def evaluation_sets(weights: Weights, directory: Path) -> dict[str, Any]:
    """Return the ranking on each set of `directory`/eval, for each label that the set has."""
    statistics: dict[str, Any] = {}
    for path in evaluation_files(directory):
        rows = list(read_lines(path))
        name = path.name.removesuffix(".jsonl.gz")
        scores = score_texts(weights, [row["text"] for row in rows], name)
        labels = [labels_of(row) for row in rows]
        figures = {}
        for index, label in enumerate(LABELS):
            found = ranking(scores[:, index], np.array([known.get(label, -1) for known in labels]))
            if found:
                figures[label] = found
        perspective = [((row.get("meta") or {}).get("perspective") or {}).get("TOXICITY@6") for row in rows]
        if any(value is not None for value in perspective):
            high = np.array([-1 if value is None else int(value > 0.8) for value in perspective])
            figures["toxicity, against Perspective's TOXICITY > 0.8"] = ranking(scores[:, 0], high)
        statistics[name] = figures
    return statistics
