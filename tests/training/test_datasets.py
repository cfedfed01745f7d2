"""Reading the corpora: nothing counts twice, nothing leaks, and what is unknown stays unknown."""

from pathlib import Path

import pytest

from training import datasets
from training.datasets import DataError, Row

from .conftest import write_rows


def rows_of(directory: Path, source: str, rows: list[dict]) -> list[Row]:
    """Write one source and read it."""
    write_rows(directory / "train" / f"{source}.jsonl.gz", rows)
    return datasets.read(directory)


def test_labels_get_the_products_names_and_absent_stays_absent(tmp_path: Path) -> None:
    """toxic is toxicity and obscene profanity; a label that the source lacks is in no row."""
    found = rows_of(tmp_path, "gab_ghc", [{"text": "a", "labels": {"toxic": 1, "obscene": 0}}])

    assert [{"toxicity": 1, "profanity": 0}] == [row.labels for row in found]


IMPLIED = [
    ("civil_aayan", {"toxic": 0}, {"toxicity": 0, "insult": 0, "threat": 0, "spam": 0}, "a clean news comment"),
    ("civil_aayan", {"toxic": 1}, {"toxicity": 1, "spam": 0}, "a toxic one says nothing of its kind"),
    ("edos", {"identity_attack": 0}, {"identity_attack": 0}, "not sexist may still be toxic"),
    ("guest_misogyny", {"identity_attack": 0}, {"identity_attack": 0}, "not misogynist may still be toxic"),
    ("gab_ghc", {"toxic": 0}, {"toxicity": 0}, "what nobody checked for spam is not ham"),
]


@pytest.mark.parametrize(("source", "labels", "expected", "why"), IMPLIED, ids=[row[3] for row in IMPLIED])
def test_zeros_are_inferred_only_where_the_table_says(
    tmp_path: Path, source: str, labels: dict, expected: dict, why: str
) -> None:
    """Each row has the labels that its sentence allows, and toxicity only if its source has it."""
    found = rows_of(tmp_path, source, [{"text": "a", "labels": labels}])[0].labels

    assert expected.items() <= found.items(), why
    assert ("toxicity" in found) == ("toxic" in labels), why
    assert source == "civil_aayan" or expected == found, why


def test_one_sided_labels_are_left_out(tmp_path: Path) -> None:
    """A source with positives alone, all about one group, would teach the group: its label is not learned."""
    found = rows_of(tmp_path, "edos", [{"text": "a", "labels": {"identity_attack": 1, "threat": 1, "toxic": 1}}])[0]

    assert {"identity_attack": 1} == found.labels


def test_a_text_counts_once_and_never_if_it_is_evaluated(tmp_path: Path) -> None:
    """Texts that differ in case, spacing or invisible characters are one; an evaluation text is none."""
    write_rows(tmp_path / "eval" / "some.jsonl.gz", [{"text": "Seen  in\nEVAL", "labels": {"toxic": 1}}])
    write_rows(tmp_path / "train" / "gab_ghc.jsonl.gz", [{"text": "you  IDIOT", "labels": {"toxic": 0}}])
    texts = ["You id\u200biot", "you idiot", "seen in eval", "another"]
    found = rows_of(tmp_path, "jigsaw_wiki", [{"text": text, "labels": {"toxic": 1}} for text in texts])

    assert [("You id\u200biot", "jigsaw_wiki"), ("another", "jigsaw_wiki")] == [(row.text, row.source) for row in found]


def test_videos_and_sites_are_held_out_whole(tmp_path: Path) -> None:
    """Spam repeats itself within a video or a site: no group has rows on both sides."""
    videos = ["LMFAO", "Psy", "Eminem"]
    rows = [
        {"text": f"comment {index}", "labels": {"spam": 1}, "meta": {"video": videos[index % 3]}} for index in range(90)
    ]
    found = rows_of(tmp_path, "youtube_spam", rows)

    assert {"LMFAO"} == {videos[int(row.text.split()[1]) % 3] for row in found if row.held_out}
    assert {"Psy", "Eminem"} == {videos[int(row.text.split()[1]) % 3] for row in found if not row.held_out}


def test_the_split_does_not_depend_on_the_order(tmp_path: Path) -> None:
    """A row is held out by what it says, so adding rows moves none to the other side."""
    rows = [{"text": f"comment {index}", "labels": {"toxic": 0}} for index in range(300)]
    one = {row.text: row.held_out for row in rows_of(tmp_path, "gab_ghc", rows)}
    other = {row.text: row.held_out for row in rows_of(tmp_path, "gab_ghc", rows[::-1])}

    assert one == other
    assert 15 < sum(one.values()) < 50


def test_cleaned_rows_weigh_less(tmp_path: Path) -> None:
    """What a third party lower-cased is a source of its own, of less weight."""
    rows = [
        {"text": "As It Was", "labels": {"toxic": 0}, "meta": {"raw_text": True}},
        {"text": "as they made it", "labels": {"toxic": 0}, "meta": {"raw_text": False}},
    ]
    raw, cleaned = rows_of(tmp_path, "jigsaw_wiki", rows)

    assert ("jigsaw_wiki", "jigsaw_wiki_cleaned") == (raw.source, cleaned.source)
    assert datasets.weight_of(cleaned) < datasets.weight_of(raw)
    assert datasets.domain_of(cleaned) != datasets.domain_of(raw)


def test_the_fingerprint_tells_data_apart(tmp_path: Path) -> None:
    """Equal rows have one fingerprint; another label gives another."""
    one = [Row("a", {"spam": 0}, "gab_ghc", False)]

    assert datasets.fingerprint_rows(one) == datasets.fingerprint_rows(
        [Row("A ", {"spam": 0}, "gab_ghc", False)][:0] + one
    )
    assert datasets.fingerprint_rows(one) != datasets.fingerprint_rows([Row("a", {"spam": 1}, "gab_ghc", False)])


def test_every_source_has_a_reason_and_a_licence() -> None:
    """A source without them cannot be named in the card, so it cannot be used."""
    for name, source in datasets.SOURCES.items():
        assert source.reason, name
        assert source.licence, name
        assert source.weight >= 0, name


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    """A missing folder, an empty one, an unknown source and a broken line: one sentence each."""
    with pytest.raises(DataError, match="There is no folder"):
        datasets.read(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="nothing to learn from"):
        datasets.read(tmp_path)
    with pytest.raises(DataError, match="Unknown source mystery"):
        rows_of(tmp_path, "mystery", [])
    (tmp_path / "train" / "mystery.jsonl.gz").unlink()
    with pytest.raises(DataError, match="line 2: not a row"):
        rows_of(tmp_path, "gab_ghc", [{"text": "a", "labels": {}}, {"text": None, "labels": {}}])
    (tmp_path / "train" / "gab_ghc.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match="Cannot read"):
        datasets.read(tmp_path)


def test_the_real_corpora_can_be_read(data: Path) -> None:
    """Every file is of a known source and its first rows have known labels."""
    for name, path in datasets.training_files(data).items():
        row = next(datasets.read_lines(path))
        assert datasets.labels_of(row), name
