"""A model's files: what is saved comes back, what is broken is refused, and half of it never remains."""

import json
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier import Comment, Model, ModelError, load, save
from classifier.loading import CARD_FILE, WEIGHTS_FILE


@pytest.fixture
def directory(random_model: Model, tmp_path: Path) -> Path:
    """A folder with a sound model."""
    save(random_model, tmp_path / "model")
    return tmp_path / "model"


def change_card(directory: Path, **changes: object) -> None:
    """Write other values into the card."""
    path = directory / CARD_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_is_saved_comes_back(random_model: Model, directory: Path) -> None:
    """The same verdicts, the same card but for the digest that saving wrote, and nothing else in the folder."""
    loaded = load(directory)
    comments = [Comment("You idiot"), Comment("Thank you")]

    assert random_model.score(comments) == loaded.score(comments)
    assert random_model.card.operating_points == loaded.card.operating_points
    assert {CARD_FILE, WEIGHTS_FILE} == {path.name for path in directory.iterdir()}
    assert ["model"] == [path.name for path in directory.parent.iterdir()]


def break_nothing_there(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def break_no_weights(directory: Path) -> None:
    (directory / WEIGHTS_FILE).unlink()


def break_one_bit(directory: Path) -> None:
    path = directory / WEIGHTS_FILE
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def break_half(directory: Path) -> None:
    path = directory / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def break_card(directory: Path) -> None:
    (directory / CARD_FILE).write_text("{")


def break_points(directory: Path) -> None:
    change_card(directory, operating_points={})


BROKEN = [
    (break_nothing_there, "Cannot read", "an empty folder"),
    (break_no_weights, "Cannot read", "weights missing"),
    (break_one_bit, "digest", "one bit changed"),
    (break_half, "digest", "weights cut short"),
    (break_card, "not JSON", "a card that is no JSON"),
    (lambda directory: change_card(directory, schema=99), "schema", "a card of another schema"),
    (lambda directory: change_card(directory, features_version=99), "features of version 99", "other features"),
    (lambda directory: change_card(directory, labels=["toxicity"]), "labels", "other labels"),
    (lambda directory: change_card(directory, colour="red"), "colour", "a field nobody knows"),
    (break_points, "operating point", "no thresholds"),
]


@pytest.mark.parametrize(("harm", "message", "why"), BROKEN, ids=[row[2] for row in BROKEN])
def test_a_broken_model_is_refused(directory: Path, harm, message: str, why: str) -> None:
    """One sentence says what is wrong; nothing is scored with what was not checked."""
    harm(directory)

    with pytest.raises(ModelError, match=message):
        load(directory)


def test_weights_that_are_no_numbers_are_refused(random_model: Model, tmp_path: Path) -> None:
    """A sound digest does not make sound weights."""
    sick = random_model.weights._replace(bias=np.full(6, np.nan, np.float32))
    save(Model(random_model.card, sick), tmp_path / "model")

    with pytest.raises(ModelError, match="not numbers"):
        load(tmp_path / "model")


def test_weights_of_another_shape_are_refused(random_model: Model, tmp_path: Path) -> None:
    """So is a model of another size, however it came to carry a fitting digest."""
    small = random_model.weights._replace(sparse=random_model.weights.sparse[:8])
    save(Model(random_model.card, small), tmp_path / "model")

    with pytest.raises(ModelError, match="tensors"):
        load(tmp_path / "model")


def test_a_failed_save_leaves_the_old_model(
    random_model: Model, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk refuses after the weights: what stood there still loads, and nothing half-made remains."""
    calls = iter([None, OSError("disk full")])

    def refuse(_descriptor: int) -> None:
        if error := next(calls):
            raise error

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        save(random_model, directory)

    assert load(directory).version == random_model.version
    assert ["model"] == [path.name for path in directory.parent.iterdir()]


def test_saving_replaces_what_was_there(random_model: Model, directory: Path) -> None:
    """A second model in the same place is the one that loads."""
    save(Model(replace(random_model.card, version="random-2"), random_model.weights), directory)

    assert "random-2" == load(directory).version
    assert ["model"] == [path.name for path in directory.parent.iterdir()]


def test_threads_share_a_model(random_model: Model) -> None:
    """Scoring changes nothing in the model, so eight threads get what one gets."""
    comments = [Comment(f"you are number {index}") for index in range(50)]
    expected, found = random_model.score(comments), []

    threads = [threading.Thread(target=lambda: found.append(random_model.score(comments))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [expected] * 8 == found


def test_a_threshold_is_asked_for_by_name(shipped: Model) -> None:
    """The card answers for its own labels and points, and says what it does not have."""
    assert 0 < shipped.card.threshold("toxicity", "flag") < 1
    with pytest.raises(ModelError, match="no label 'sarcasm'"):
        shipped.card.threshold("sarcasm", "flag")
    with pytest.raises(ModelError, match="no operating point 'shadowban'"):
        shipped.card.threshold("toxicity", "shadowban")


def test_a_card_survives_json(shipped: Model) -> None:
    """What is written is what is read."""
    assert shipped.card == type(shipped.card).from_json(shipped.card.to_json())
