"""THE DOOR: the only way from the service to the classifier, and the only file of the service that imports it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import classifier

from .policy import Policy


class Scorer:
    """The current model, loaded once for this process, and the policy that its card's operating points make."""

    def __init__(self) -> None:
        self.model = classifier.load()

    def score(self, comments: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Score comments, mappings with `comment` and where known `name`, `email` and `website`, all at once.

        Returns, in their order, dictionaries of scores (label to probability), model (version) and spans.
        """
        inputs = [classifier.Comment(row["comment"], row["name"], row["email"], row["website"]) for row in comments]
        return [verdict.as_dict() for verdict in self.model.score(inputs)]

    def policy(self, rejects_automatically: bool) -> Policy:
        """Give the thresholds of the model's own card for a site."""
        points = self.model.card.operating_points
        reject = {label: point["reject"]["threshold"] for label, point in points.items() if point.get("reject")}
        return Policy(flag={label: point["flag"]["threshold"] for label, point in points.items()},
                      reject=reject if rejects_automatically else {})
