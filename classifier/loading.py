"""Keep and fetch a model's files, and promise that what was not checked is never used, and half of it never remains."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as tensors_from_bytes
from safetensors.numpy import save as tensors_to_bytes

from classifier.card import Card, ModelError
from classifier.features import BUCKETS, DENSE_NAMES, FEATURES_VERSION
from classifier.model import LABELS, Model
from classifier.scoring import Weights

CARD_FILE = "card.json"
WEIGHTS_FILE = "weights.safetensors"

DEFAULT_DIRECTORY = Path(__file__).parent / "default"


def load(directory: Path | str | None = None) -> Model:
    """Return the model in `directory`, or the one that ships.

    Raises ModelError when a file is missing, was changed or cut short, or was made for other features.
    """
    directory = DEFAULT_DIRECTORY if directory is None else Path(directory)
    card = read_card(directory)
    content = _read(directory / WEIGHTS_FILE)
    digest = hashlib.sha256(content).hexdigest()
    if digest != card.weights.get("sha256"):
        raise ModelError(
            f"{directory / WEIGHTS_FILE} does not match the digest in its card: the file was changed or cut "
            "short. Restore the folder from the release, or train the model again."
        )
    return Model(card, _weights(content, directory / WEIGHTS_FILE))


def read_card(directory: Path | str) -> Card:
    """Return a model's card without its weights. Raises ModelError when this release cannot use the model."""
    directory = Path(directory)
    card = Card.from_json(_read(directory / CARD_FILE).decode("utf-8", "replace"))
    if card.features_version != FEATURES_VERSION:
        raise ModelError(
            f"Model {card.version} was trained on features of version {card.features_version}, this release "
            f"makes version {FEATURES_VERSION}: train the model again with this release."
        )
    if card.labels != LABELS:
        raise ModelError(
            f"Model {card.version} has the labels {', '.join(card.labels)}, this release expects "
            f"{', '.join(LABELS)}: train the model again with this release."
        )
    return card


def save(model: Model, directory: Path | str) -> None:
    """Write the model to `directory`, whole or not at all; what stood there before is replaced.

    The files are written beside it, flushed to the disk and then moved into place.
    The sparse weights are rounded to half precision. Raises OSError when the disk refuses.
    """
    directory = Path(directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    content = tensors_to_bytes(
        {
            "sparse": np.ascontiguousarray(model.weights.sparse, np.float16),
            "dense": np.ascontiguousarray(model.weights.dense, np.float32),
            "bias": np.ascontiguousarray(model.weights.bias, np.float32),
        }
    )
    digest = {"file": WEIGHTS_FILE, "sha256": hashlib.sha256(content).hexdigest()}
    fresh = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        _write(fresh / WEIGHTS_FILE, content)
        _write(fresh / CARD_FILE, replace(model.card, weights=digest).to_json().encode())
        fresh.chmod(0o755)
        _move_into_place(fresh, directory)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _move_into_place(fresh: Path, directory: Path) -> None:
    """Swap folders: a folder cannot be renamed over a full one, so the old one steps aside first."""
    if not directory.exists():
        fresh.rename(directory)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{directory.name}-old-", dir=directory.parent))
    directory.rename(aside / directory.name)
    try:
        fresh.rename(directory)
    except OSError:
        (aside / directory.name).rename(directory)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"Cannot read {path} ({error.strerror}): name the folder of a model, or restore it from the release."
        ) from error


def _weights(content: bytes, path: Path) -> Weights:
    tensors = {}
    with contextlib.suppress(SafetensorError):
        tensors = tensors_from_bytes(content)
    expected = {
        "sparse": (BUCKETS, len(LABELS)),
        "dense": (len(DENSE_NAMES), len(LABELS)),
        "bias": (len(LABELS),),
    }
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if found != expected:
        raise ModelError(f"{path} holds tensors {found}, not {expected}: train the model again with this release.")
    arrays = {name: tensor.astype(np.float32) for name, tensor in tensors.items()}
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelError(f"{path} holds weights that are not numbers: restore the folder from the release.")
    for array in arrays.values():
        array.flags.writeable = False
    return Weights(**arrays)
