"""The page about the model says what the card says."""

from pathlib import Path

import pytest

from classifier import load
from training.document import PageError, tables, write

PAGE = Path(__file__).parent.parent.parent / "docs" / "model.md"


def test_the_pages_figures_are_the_cards() -> None:
    """No figure in the tables is typed by hand or left over from another model: `python -m training figures`."""
    assert tables(load().card) in PAGE.read_text(encoding="utf-8")


def test_every_source_and_label_is_on_the_page() -> None:
    """Each source stands there with its licence, each label with its threshold."""
    card, page = load().card, PAGE.read_text(encoding="utf-8")

    for name, source in card.data["sources"].items():
        assert f"| {name} |" in page
        assert source["licence"] in page
    assert all(f"{card.threshold(label, 'flag'):.4f}" in page for label in card.labels)


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    """It is said, and nothing is written."""
    page = tmp_path / "page.md"
    page.write_text("No marks.\n")

    with pytest.raises(PageError, match="lacks the marks"):
        write(load().card, page)
    assert "No marks.\n" == page.read_text()
