"""Turn a card's figures into the tables of docs/model.md, so that no figure there is typed by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from classifier import Card

BEGIN = "<!-- figures: written by python -m training figures -->"
END = "<!-- end of figures -->"


class PageError(Exception):
    """A page has no place for the figures."""


def tables(card: Card) -> str:
    """Return the tables as Markdown."""
    return "\n".join(
        [
            f"The shipped model is `{card.version}`.",
            "",
            *_labels(card),
            "",
            *_held_out(card),
            "",
            *_evaluation(card),
            "",
            *_clean(card),
            "",
            *_sources(card),
        ]
    )


def write(card: Card, path: Path) -> None:
    """Put the tables between the two marks in a page. Raises PageError when the page lacks them."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not begin or not end:
        raise PageError(f"{path} lacks the marks {BEGIN} and {END}.")
    path.write_text(f"{before}{BEGIN}\n\n{tables(card)}\n\n{END}{after}", encoding="utf-8")


def _labels(card: Card) -> Iterator[str]:
    yield "**Labels**, on held-out rows. *Found* is the share of the label's comments at or above the threshold."
    yield ""
    head = ("label", "flag: at most, of ordinary news comments", "from", "found", "reject from", "AUC", "AP")
    yield from _head(*head, "positives", "negatives", "calibration error")
    for label in card.labels:
        flag, reject = card.operating_points[label]["flag"], card.operating_points[label]["reject"]
        held = card.statistics["held_out"][label]
        overall = held["overall"] or {}
        yield _row(
            label,
            flag["meaning"].removeprefix("at most ").removesuffix(" of ordinary news comments"),
            f"{flag['threshold']:.4f}",
            f"{flag['recall']:.1%}",
            f"{reject['threshold']:.4f} (finds {reject['recall']:.1%})" if reject else "not reached",
            *(overall.get(name, "-") for name in ("auc", "ap", "positives", "negatives")),
            held["reliability"]["expected_calibration_error"],
        )


def _held_out(card: Card) -> Iterator[str]:
    yield "**AUC by source**, on held-out rows, where a source has enough of both classes."
    yield ""
    held = card.statistics["held_out"]
    names = sorted({name for label in card.labels for name in held[label]["by_source"]})
    yield from _head("source", *card.labels)
    for name in names:
        yield _row(name, *(held[label]["by_source"].get(name, {}).get("auc", "") for label in card.labels))


def _evaluation(card: Card) -> Iterator[str]:
    yield "**Sets that were looked at and never trained or tuned on.**"
    yield ""
    yield from _head("set", "label", "AUC", "AP", "positives", "negatives")
    for name, labels in card.statistics["evaluation_sets"].items():
        for label, figures in labels.items():
            yield _row(name, label, *(figures[key] for key in ("auc", "ap", "positives", "negatives")))


def _clean(card: Card) -> Iterator[str]:
    share = card.statistics["clean_news_comments_flagged"]
    count = card.statistics["clean_news_comments"]
    yield f"**False alarms.** Of {count:,} held-out ordinary news comments, {share:.1%} are flagged by some label."
    yield "Of held-out rows of each source that have no label, as far as is known:"
    yield ""
    yield from _head("source", "comments", "flagged")
    for name, found in card.statistics["clean_flagged_by_source"].items():
        yield _row(name, f"{found['comments']:,}", f"{found['flagged']:.1%}")


def _sources(card: Card) -> Iterator[str]:
    yield "**Sources.**"
    yield ""
    yield from _head("source", "domain", "rows", "held out", "weight", "why", "licence")
    for name, source in card.data["sources"].items():
        counts = (f"{source[key]:,}" for key in ("rows", "held_out_rows"))
        yield _row(name, source["domain"], *counts, source["weight"], source["weight_reason"], source["licence"])


def _head(*names: str) -> Sequence[str]:
    return [_row(*names), _row(*("---" for _name in names))]


def _row(*cells: Any) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
