"""Text in, calibrated numbers out: the classifier's public names. It needs numpy and safetensors only."""

from classifier.card import Card, ModelError
from classifier.loading import load, save
from classifier.model import LABELS, Comment, Model, Span, Verdict

__all__ = ["LABELS", "Card", "Comment", "Model", "ModelError", "Span", "Verdict", "load", "save"]
