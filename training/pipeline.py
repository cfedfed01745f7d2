"""The scikit-learn pipeline behind a model: what ML staff load, and what is served are the same numbers.

The pipeline takes texts to calibrated probabilities in three steps that compose: features, scale,
labels. `served_weights()` multiplies the last two out into the arrays that `classifier` reads.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from classifier.features import BUCKETS, DENSE_NAMES, extract, passes
from classifier.scoring import Weights, probabilities

# A known row is 0 or 1; anything else would be taken for a class.
UNKNOWN = -1


class HashedText(TransformerMixin, BaseEstimator):
    """Texts to a sparse matrix, by the same function that scoring calls. It learns nothing."""

    def __init__(self, n_jobs: int = 1, progress: bool = False):
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, texts: Sequence[str], y=None) -> HashedText:
        """Return itself: hashing needs no vocabulary."""
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def transform(self, texts: Sequence[str]) -> sp.csr_matrix:
        """Return (texts, BUCKETS + dense) in single precision, in the order of the texts."""
        texts = list(texts)
        work = Parallel(n_jobs=self.n_jobs, return_as="generator")(delayed(_matrix)(part) for part in passes(texts))
        parts = []
        with tqdm(total=len(texts), desc="features", unit=" rows", disable=None if self.progress else True) as bar:
            for part in work:
                parts.append(part)
                bar.update(part.shape[0])
        if not parts:
            return sp.csr_matrix((0, BUCKETS + len(DENSE_NAMES)), dtype=np.float32)
        return sp.vstack(parts, format="csr")


class ColumnScale(TransformerMixin, BaseEstimator):
    """Multiply each n-gram by ln((1 + n) / (1 + df)) + 1, and the dense numbers by one constant.

    The rarer an n-gram, the more a weight on it may move. The formula is that of scikit-learn's
    TfidfTransformer with smooth_idf; there is no renormalisation, so the scale folds into the weights.
    `dense_scale` says how freely the dense numbers may move, against n-grams whose block has length 1.
    """

    def __init__(self, dense_scale: float = 1.0):
        self.dense_scale = dense_scale

    def fit(self, matrix: sp.csr_matrix, y=None) -> ColumnScale:
        """Learn in how many rows each n-gram occurs."""
        df = np.bincount(matrix.indices, minlength=matrix.shape[1])
        scale = np.log((1 + matrix.shape[0]) / (1 + df)) + 1
        scale[BUCKETS:] = self.dense_scale
        self.scale_ = scale.astype(np.float32)
        return self

    def transform(self, matrix: sp.csr_matrix) -> sp.csr_matrix:
        """Return the scaled matrix; the given one is left as it is."""
        check_is_fitted(self)
        return sp.csr_matrix((matrix.data * self.scale_[matrix.indices], matrix.indices, matrix.indptr), matrix.shape)


class LabelLogistic(BaseEstimator):
    """One logistic regression a label, each on the rows that have the label, with its calibration.

    A domain gets a column of its own in training, so that how often a source has the label is not
    learned as something that its words mean; these columns are dropped afterwards.
    """

    def __init__(
        self,
        C: float = 1.0,
        tol: float = 1e-4,
        max_iter: int = 200,
        domain_scale: float = 1.0,
        n_jobs: int = 1,
        progress: bool = False,
    ):
        self.C = C
        self.tol = tol
        self.max_iter = max_iter
        self.domain_scale = domain_scale
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, matrix: sp.csr_matrix, labels: np.ndarray, sample_weight=None, domain=None) -> LabelLogistic:
        """Fit on (rows, labels) of 0, 1 and UNKNOWN. Raises ValueError for a label without both classes."""
        rows = matrix.shape[0]
        sample_weight = np.ones(rows) if sample_weight is None else np.asarray(sample_weight, float)
        domain = np.zeros(rows, int) if domain is None else np.unique(domain, return_inverse=True)[1]
        # The largest labels first, so that the last core is not left alone with one of them.
        order = np.argsort(-(labels != UNKNOWN).sum(axis=0), kind="stable")
        work = Parallel(n_jobs=self.n_jobs, return_as="generator")(
            delayed(_fit_label)(self, matrix, labels[:, index], sample_weight, domain) for index in order
        )
        fits = tqdm(work, desc="labels", total=len(order), disable=None if self.progress else True)
        by_label = dict(zip(order.tolist(), fits, strict=True))
        self.coef_ = np.stack([by_label[index][0] for index in range(labels.shape[1])])
        self.intercept_ = np.array([by_label[index][1] for index in range(labels.shape[1])])
        self.n_iter_ = np.array([by_label[index][2] for index in range(labels.shape[1])])
        self.slope_ = np.ones(len(self.intercept_))
        self.offset_ = np.zeros(len(self.intercept_))
        return self

    def calibrate(self, logits: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> LabelLogistic:
        """Fit p = 1 / (1 + e^-(slope x + offset)) on held-out rows (Platt 1999), with (rows, labels) weights."""
        for index in range(logits.shape[1]):
            known = labels[:, index] != UNKNOWN
            weights = weight[known, index] / weight[known, index].mean()
            platt = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000)
            platt.fit(logits[known, index : index + 1], labels[known, index], sample_weight=weights)
            self.slope_[index], self.offset_[index] = platt.coef_[0, 0], platt.intercept_[0]
        return self

    def raw_logits(self, matrix: sp.csr_matrix) -> np.ndarray:
        """Return the uncalibrated logits, (rows, labels)."""
        check_is_fitted(self)
        return matrix @ self.coef_.T + self.intercept_

    def decision_function(self, matrix: sp.csr_matrix) -> np.ndarray:
        """Return the calibrated logits, (rows, labels)."""
        return self.raw_logits(matrix) * self.slope_ + self.offset_

    def predict_proba(self, matrix: sp.csr_matrix) -> np.ndarray:
        """Return the calibrated probability of each label, (rows, labels)."""
        return probabilities(self.decision_function(matrix))


def new_pipeline(**parameters) -> Pipeline:
    """Return the unfitted pipeline. Parameters are named as scikit-learn does: labels__C, scale__dense_scale."""
    pipeline = Pipeline([("features", HashedText()), ("scale", ColumnScale()), ("labels", LabelLogistic())])
    return pipeline.set_params(**parameters)


def served_weights(pipeline: Pipeline) -> Weights:
    """Return the arrays that `classifier` scores with: scale and calibration multiplied into the coefficients."""
    scale, labels = pipeline["scale"], pipeline["labels"]
    coefficients = labels.coef_.astype(np.float64) * scale.scale_ * labels.slope_[:, None]
    bias = labels.intercept_ * labels.slope_ + labels.offset_
    return Weights(
        np.ascontiguousarray(coefficients[:, :BUCKETS].T), np.ascontiguousarray(coefficients[:, BUCKETS:].T), bias
    )


def _matrix(texts: Sequence[str]) -> sp.csr_matrix:
    found = extract(texts)
    sparse = sp.csr_matrix(
        (found.value.astype(np.float32), (found.document, found.bucket)), shape=(len(texts), BUCKETS), dtype=np.float32
    )
    return sp.hstack([sparse, sp.csr_matrix(found.dense.astype(np.float32))], format="csr")


def _fit_label(settings, matrix, labels, sample_weight, domain) -> tuple[np.ndarray, float, int]:
    rows = np.flatnonzero((labels != UNKNOWN) & (sample_weight > 0))
    classes, codes = np.unique(domain[rows], return_inverse=True)
    scale = np.full(len(rows), settings.domain_scale, np.float32)
    domains = sp.csr_matrix((scale, (np.arange(len(rows)), codes)), shape=(len(rows), len(classes)))
    weights = sample_weight[rows] * (len(rows) / sample_weight[rows].sum())
    regression = LogisticRegression(C=settings.C, tol=settings.tol, max_iter=settings.max_iter)
    # One thread: sums that several threads share come out in another order each time.
    with threadpool_limits(1):
        regression.fit(sp.hstack([matrix[rows], domains], format="csr"), labels[rows], sample_weight=weights)
    return regression.coef_[0, : matrix.shape[1]], float(regression.intercept_[0]), int(regression.n_iter_[0])
