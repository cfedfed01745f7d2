"""Training end to end on made-up rows, and what is served against what was fitted."""

import json
from pathlib import Path

import joblib
import numpy as np
import pytest

from classifier import LABELS, Comment, Model, load
from classifier.scoring import probabilities, weigh
from training import datasets
from training.__main__ import main
from training.pipeline import served_weights
from training.train import LIFE_RATES, Trained, label_matrix, life_weights, rounded, train

from .conftest import write_rows

# The made-up rows are few and easy: weaker regularisation lets them be learned.
EASY = {"labels__C": 1.0}


@pytest.fixture(scope="session")
def trained(corpora: Path) -> Trained:
    """A model of the made-up corpora."""
    return train(datasets.read(corpora), corpora, name="made-up", **EASY)


def test_a_model_learns_what_its_rows_teach(trained: Trained) -> None:
    """Each label is high for its own words, low for harmless ones, and the card's thresholds part them."""
    texts = {
        "insult": "the idiot moron clown",
        "profanity": "damnit crapola bullcrap",
        "threat": "stab throttle bludgeon",
        "identity_attack": "heathenscum gingerscum foreignscum",
        "spam": "cheap pills casino http://pills.example",
    }
    kind = trained.model.score([Comment("thank the council for this report about our bridge")])[0]
    for label, text in texts.items():
        vile = trained.model.score([Comment(text)])[0]
        assert kind.scores[label] < trained.model.card.threshold(label, "flag") <= vile.scores[label], label
        assert label == "spam" or vile.scores["toxicity"] > kind.scores["toxicity"], label


def test_what_is_served_is_what_was_fitted(trained: Trained) -> None:
    """Before the weights are rounded to half precision, served probabilities agree with the pipeline's to 1e-6.

    The pipeline multiplies single-precision features with the coefficients; the served path sums word by
    word in double precision.
    """
    texts = ["you idiot moron", "", "thank the council " * 50, "caf\u00e9 \U0001f600", "cheap pills www.casino.example"]
    served = probabilities(weigh(served_weights(trained.pipeline), texts).logits)

    assert np.abs(served - trained.pipeline.predict_proba(texts)).max() < 1e-6


def test_rounding_to_half_precision_moves_little(trained: Trained) -> None:
    """The shipped numbers are rounded: a probability moves by less than 0.002."""
    texts = ["you idiot moron", "", "thank the council " * 50, "stab the cheap pills"]
    exact = probabilities(weigh(served_weights(trained.pipeline), texts).logits)
    served = probabilities(weigh(rounded(served_weights(trained.pipeline)), texts).logits)

    assert np.abs(served - exact).max() < 0.002


def test_the_card_says_what_was_done(trained: Trained) -> None:
    """Sources with licence and counts, held-out figures for each label, evaluation sets, limits."""
    card = trained.model.card

    assert card.version.startswith("made-up-")
    assert LABELS == card.labels == tuple(card.statistics["held_out"])
    assert set(datasets.SOURCES) == set(card.data["sources"])
    assert 0 == card.data["sources"]["davidson"]["weight"]
    assert card.data["sources"]["civil_aayan"]["rows"] > card.data["sources"]["civil_aayan"]["held_out_rows"] > 0
    assert card.statistics["evaluation_sets"]["made_up"]["toxicity"]["auc"] > 0.9
    assert card.limits
    assert LIFE_RATES == card.calibration["life_rates"]


def test_held_out_rows_do_not_shape_the_weights(corpora: Path) -> None:
    """With other words in the held-out rows, the fitted coefficients stay the same to the last bit."""
    rows = datasets.read(corpora)
    changed = [row._replace(text=row.text + " zebra") if row.held_out else row for row in rows]
    one, other = (train(part, corpora, **EASY).pipeline["labels"] for part in (rows, changed))

    assert np.array_equal(one.coef_, other.coef_)
    assert not np.array_equal(one.offset_, other.offset_)


def test_life_weights_make_a_label_as_frequent_as_in_life(corpora: Path) -> None:
    """The weight of a label's positives is its rate, and rows that lack the label weigh nothing."""
    rows = datasets.read(corpora)
    truth, weight = label_matrix(rows), life_weights(rows)

    for index, label in enumerate(LABELS):
        assert np.isclose(LIFE_RATES[label], weight[truth[:, index] == 1, index].sum())
        assert np.isclose(1, weight[:, index].sum())
        assert not weight[truth[:, index] == -1, index].any()


@pytest.fixture(scope="session")
def built(corpora: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command leaves behind."""
    directory = tmp_path_factory.mktemp("built")
    assert 0 == main(command(corpora, directory))
    return directory


def command(data: Path, directory: Path) -> list[str]:
    """The command's arguments, with all output under one folder."""
    out, pipeline = str(directory / "model"), str(directory / "pipelines")
    return ["default-model", "--data", str(data), "--out", out, "--pipeline", pipeline, "--jobs", "1"]


def test_the_command_writes_a_model_and_its_pipeline(built: Path) -> None:
    """Both load, and the pipeline on disk gives the served model's numbers but for the rounding."""
    model = load(built / "model")
    pipeline = joblib.load(built / "pipelines" / f"{model.version}.joblib")
    served = list(model.score([Comment("you idiot")])[0].scores.values())

    assert np.abs(pipeline.predict_proba(["you idiot"])[0] - served).max() < 0.002


def test_the_same_data_give_the_same_bytes(built: Path, corpora: Path, tmp_path: Path) -> None:
    """A rebuild is the same file, card and all, so a reader of the history sees real changes only."""
    assert 0 == main(command(corpora, tmp_path))

    for name in ("weights.safetensors", "card.json"):
        assert (built / "model" / name).read_bytes() == (tmp_path / "model" / name).read_bytes()


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence, exit code 1, and nothing written."""
    assert 1 == main(command(tmp_path / "nowhere", tmp_path / "out"))
    assert "There is no folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

    write_rows(tmp_path / "train" / "gab_ghc.jsonl.gz", [{"text": "a", "labels": {"toxic": 1}}])
    assert 1 == main(command(tmp_path, tmp_path / "out"))
    assert "toxicity lack positives or negatives" in capsys.readouterr().err


def test_the_shipped_card_holds_no_text_of_the_data(data: Path) -> None:
    """Of ten rows of each source, none longer than a few words appears in the card."""
    card = json.dumps(load().card.to_json())
    for path in datasets.training_files(data).values():
        for row, _ in zip(datasets.read_lines(path), range(10), strict=False):
            assert len(row["text"]) < 20 or row["text"] not in card


def test_the_shipped_model_is_as_good_as_its_card_says(data: Path, shipped: Model) -> None:
    """Measured again on one evaluation set, the figure is the card's."""
    from training.evaluate import ranking, score_texts

    rows = list(datasets.read_lines(data / "eval" / "fox_news.jsonl.gz"))
    scores = score_texts(shipped.weights, [row["text"] for row in rows])[:, 0]
    truth = np.array([row["labels"]["toxic"] for row in rows])

    assert shipped.card.statistics["evaluation_sets"]["fox_news"]["toxicity"] == ranking(scores, truth)


@pytest.fixture(scope="session")
def shipped() -> Model:
    """The model that a user gets."""
    return load()
