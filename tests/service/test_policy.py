"""The policy: the first phase with an answer decides, and doubt goes to a person."""

from __future__ import annotations

import pytest

from service.policy import PHASES, Decision, Policy, clean, decide
from service.tables import Status

FLAG = {"toxicity": 0.5, "spam": 0.7}
REJECT = {"toxicity": 0.95}


@pytest.mark.parametrize(("scores", "reject", "expected"), [
    pytest.param(None, {}, Decision(Status.FLAGGED, "no_verdict", "not_scored"),
                 id="without a verdict a person looks"),
    pytest.param(None, REJECT, Decision(Status.FLAGGED, "no_verdict", "not_scored"),
                 id="also where the site rejects without a person"),
    pytest.param({"toxicity": 0.1, "spam": 0.1}, {}, Decision(Status.PUBLISHED, "clean", "no_label_over_threshold"),
                 id="below every threshold is published"),
    pytest.param({"toxicity": 0.4999, "spam": 0.6999}, {},
                 Decision(Status.PUBLISHED, "clean", "no_label_over_threshold"),
                 id="just below is still below; two near misses do not add up"),
    pytest.param({"toxicity": 0.5, "spam": 0.1}, {},
                 Decision(Status.FLAGGED, "doubtful", "score_over_threshold", "toxicity", 0.5, 0.5),
                 id="at the threshold is flagged"),
    pytest.param({"toxicity": 0.1, "spam": 0.71}, {},
                 Decision(Status.FLAGGED, "doubtful", "score_over_threshold", "spam", 0.71, 0.7),
                 id="any label is enough"),
    pytest.param({"toxicity": 0.6, "spam": 0.99}, {},
                 Decision(Status.FLAGGED, "doubtful", "score_over_threshold", "spam", 0.99, 0.7),
                 id="the reason is the label that is furthest over its own threshold"),
    pytest.param({"toxicity": 1.0, "spam": 1.0}, {},
                 Decision(Status.FLAGGED, "doubtful", "score_over_threshold", "toxicity", 1.0, 0.5),
                 id="nothing is rejected without a person unless the site switched that on"),
    pytest.param({"toxicity": 0.95, "spam": 1.0}, REJECT,
                 Decision(Status.REJECTED, "blatant", "score_over_threshold", "toxicity", 0.95, 0.95),
                 id="where it is on, blatant comes before doubtful"),
    pytest.param({"toxicity": 0.94, "spam": 1.0}, REJECT,
                 Decision(Status.FLAGGED, "doubtful", "score_over_threshold", "toxicity", 0.94, 0.5),
                 id="a label without a point for rejecting never rejects"),
    pytest.param({"toxicity": 0.1, "spam": 0.1, "sarcasm": 1.0}, REJECT,
                 Decision(Status.PUBLISHED, "clean", "no_label_over_threshold"),
                 id="a label that the policy does not name decides nothing"),
])
def test_decide(scores: dict[str, float] | None, reject: dict[str, float], expected: Decision) -> None:
    """Each row is a sentence of the policy."""
    assert expected == decide(scores, Policy(FLAG, reject))


@pytest.mark.parametrize("scores", [
    pytest.param({"toxicity": float("nan"), "spam": 0.1}, id="a score that is not a number"),
    pytest.param({"toxicity": 0.1}, id="a label of the policy that was not scored"),
    pytest.param({}, id="no score at all"),
])
def test_half_a_verdict_publishes_nothing(scores: dict[str, float]) -> None:
    """Fail closed: nothing is published unless every label that the policy asks about was scored."""
    assert Status.FLAGGED == decide(scores, Policy(FLAG, {})).outcome


def test_the_last_phase_always_answers() -> None:
    """So the shipped list always decides, whatever the scores are."""
    assert clean is PHASES[-1]
    assert clean({}, Policy({}, {})) is not None


def test_a_list_of_phases_that_does_not_decide_is_an_error() -> None:
    """A list without an answer is a mistake of ours, and publishes nothing."""
    with pytest.raises(LookupError):
        decide(dict.fromkeys(FLAG, 0.0), Policy(FLAG, {}), phases=PHASES[:-1])


def test_each_phase_reads_as_a_sentence() -> None:
    """A moderator may ask what a phase does; its first line answers."""
    assert [] == [phase.__name__ for phase in PHASES if not phase.__doc__.startswith("If ")]
