"""What to do with a comment, given the classifier's verdict: a list of phases; the first with an answer decides.

Pure: no clock, no database, no model. Fail closed: without a verdict a person looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from .tables import Status


@dataclass(frozen=True, slots=True)
class Policy:
    """The thresholds in force for one comment: label to score, from the model's card.

    flag: at or above it, a person looks.
    reject: at or above it, rejected without a person. Empty unless the site switched that on.
    """

    flag: Mapping[str, float]
    reject: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided, by which phase, and why; label, score and threshold where a score was the reason."""

    outcome: Status
    phase: str
    reason: str
    label: str | None = None
    score: float | None = None
    threshold: float | None = None


Scores = Mapping[str, float] | None
Phase = Callable[[Scores, Policy], Decision | None]


def no_verdict(scores: Scores, policy: Policy) -> Decision | None:
    """If the classifier gave no verdict, or none on a label that the policy asks for, a person looks."""
    # A score that is not a number fails this comparison too.
    whole = scores is not None and policy.flag and all(0 <= scores.get(label, -1) <= 1 for label in policy.flag)
    return None if whole else Decision(Status.FLAGGED, "no_verdict", "not_scored")


def blatant(scores: Scores, policy: Policy) -> Decision | None:
    """If the site rejects without a person, and a score is so high that this is safe, reject."""
    return _highest(scores, policy.reject, Status.REJECTED, "blatant")


def doubtful(scores: Scores, policy: Policy) -> Decision | None:
    """If any label's score is as high as the operating point at which a person should look, flag."""
    return _highest(scores, policy.flag, Status.FLAGGED, "doubtful")


def clean(scores: Scores, policy: Policy) -> Decision | None:
    """If nothing before had an answer, publish."""
    return Decision(Status.PUBLISHED, "clean", "no_label_over_threshold")


PHASES: tuple[Phase, ...] = (no_verdict, blatant, doubtful, clean)


def decide(scores: Scores, policy: Policy, phases: tuple[Phase, ...] = PHASES) -> Decision:
    """Decide one comment by the first phase that has an answer.

    scores: label to probability, or None where the classifier gave no verdict.
    Raises LookupError if no phase answers, which the shipped list cannot do.
    """
    for phase in phases:
        decision = phase(scores, policy)
        if decision is not None:
            return decision
    raise LookupError("no phase of the policy decided; its last phase must always answer")


def _highest(scores: Mapping[str, float], thresholds: Mapping[str, float], outcome: Status,
             phase: str) -> Decision | None:
    """Name the label that is furthest over its threshold, so that the reason shown is the strongest one."""
    over = [(scores[label] - threshold, label) for label, threshold in thresholds.items()
            if scores.get(label, 0.0) >= threshold]
    if not over:
        return None
    label = max(over)[1]
    return Decision(outcome, phase, "score_over_threshold", label, scores[label], thresholds[label])
