"""The card: what stands beside the weights, so that a model can be read without being loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

# Raise this when the card's fields change in a way that an older reader would misread.
CARD_SCHEMA = 1


class ModelError(Exception):
    """A model's files cannot be used; the message says what is wrong and what to do."""


@dataclass(frozen=True)
class Card:
    """What a model is, where it comes from, how good it is, and where it fails.

    `operating_points` holds for each label the points "flag" and "reject", each a mapping of
    `meaning` (a sentence), `threshold` (a probability) and the figures that were measured there, or
    None where the meaning cannot be reached. `weights` names the file and its SHA-256.
    """

    version: str
    labels: tuple[str, ...]
    operating_points: Mapping[str, Mapping[str, Mapping[str, Any] | None]]
    features_version: int
    weights: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    schema: int = CARD_SCHEMA

    def threshold(self, label: str, point: str) -> float:
        """Return the probability from which on `label` is at the operating point "flag" or "reject".

        Raises ModelError for a label or a point that the card does not carry, or that could not be reached.
        """
        known = self.operating_points.get(label)
        if known is None:
            raise ModelError(f"Model {self.version} has no label {label!r}; it has {', '.join(self.labels)}.")
        found = known.get(point)
        if found is None:
            raise ModelError(f"Model {self.version} has no operating point {point!r} for {label}: see its card.")
        return float(found["threshold"])

    def to_json(self) -> str:
        """Return the card as indented JSON that `from_json` reads back to an equal card."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read a card. Raises ModelError when it is no card, or one of another schema."""
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ModelError(f"The card is not JSON ({error}): restore card.json from the release.") from error
        if not isinstance(content, dict) or content.get("schema") != CARD_SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else None
            raise ModelError(
                f"The card's schema is {found!r}, this release reads {CARD_SCHEMA}: "
                "train the model again, or install the release it was made with."
            )
        names = {item.name for item in fields(cls)}
        missing = {"version", "labels", "operating_points", "features_version", "weights"} - set(content)
        if missing or set(content) - names:
            wrong = sorted(missing) or sorted(set(content) - names)
            raise ModelError(
                f"The card's field {wrong[0]!r} is missing or unknown: restore card.json from the release."
            )
        _check_operating_points(content)
        return cls(**content | {"labels": tuple(content["labels"]), "limits": tuple(content.get("limits", ()))})


def _check_operating_points(content: Mapping[str, Any]) -> None:
    points = content["operating_points"]
    try:
        for label in content["labels"]:
            for point in ("flag", "reject"):
                found = points[label][point]
                if found is None and point == "reject":
                    continue
                if not 0 <= found["threshold"] <= 1 or not found["meaning"]:
                    raise ValueError(point)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"The card's operating point ({error}) is missing or not within 0 and 1: "
            "restore card.json from the release."
        ) from error
