"""Read labelled comments, and promise that no text is counted twice, leaks into a test, or is taken for what it is not.

A row's labels are 1, 0 or absent. Absent is unknown: a row shapes only the labels that it has. The few
zeros that are inferred rather than read are listed in `IMPLIED_ZEROS`, each with its reason.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from classifier import LABELS
from classifier.text import normalise


class DataError(Exception):
    """The data cannot be read: a missing folder or file, or a row of the wrong form."""


class Source(NamedTuple):
    """What is known of a source before training: how much its rows count, why, and under which licence."""

    weight: float
    reason: str
    domain: str
    licence: str


class Row(NamedTuple):
    """One labelled comment; `labels` holds only what is known."""

    text: str
    labels: dict[str, int]
    source: str
    held_out: bool


# The files name two labels otherwise than the product does.
LABEL_NAMES = {"toxic": "toxicity", "obscene": "profanity"} | {label: label for label in LABELS}

_UNLICENSED = "third-party texts without a licence: used to learn and to measure, never published"

# In the order in which duplicates are settled: of two rows with one text, the source named first keeps it.
SOURCES = {
    "civil_toxic_spans": Source(1.5, "news comments, but positives only", "news comments", "CC0-1.0"),
    "civil_aayan": Source(
        3.0,
        "the only news comments with negatives: what we are judged by",
        "news comments",
        "CC0 upstream (Civil Comments)",
    ),
    "jigsaw_wiki": Source(
        1.0,
        "the only source with all toxicity labels on one row",
        "Wikipedia talk",
        "labels CC0, text CC-BY-SA-3.0",
    ),
    "wiki_context_large": Source(0.7, "one rater a row; good negatives", "Wikipedia talk", "Apache-2.0"),
    "wiki_context_small": Source(0.7, "one rater a row", "Wikipedia talk", "Apache-2.0"),
    "hatemoji_build": Source(0.5, "written to fool classifiers; short, not natural", "adversarial, emoji", "CC-BY-4.0"),
    "gab_ghc": Source(0.7, "natural, but a hostile forum with its own base rate", "Gab", "MIT"),
    "cad_reddit": Source(0.7, "natural; many labels need the thread to be understood", "Reddit", "CC-BY-4.0"),
    "edos": Source(0.4, "sexism only", "Gab and Reddit", "CC0-1.0"),
    "guest_misogyny": Source(0.3, "misogyny only, few positives", "Reddit", "MIT"),
    "stormfront": Source(0.4, "single sentences out of context", "forum sentences", "CC-BY-SA-3.0"),
    "davidson": Source(
        0.0,
        "left out: picked by slur words, 83 % positive, it punishes dialect and skews base rates",
        "tweets",
        "MIT",
    ),
    "blog_spam": Source(1.0, "the thing itself: spam left under blog posts", "blog comments", _UNLICENSED),
    "blog_ham": Source(0.7, "moderated blogs, but of one topic", "blog comments", _UNLICENSED),
    "youtube_spam": Source(1.0, "spam comments under four videos", "YouTube comments", "CC-BY-4.0 (UCI)"),
    "contact_form_spam": Source(1.0, "recent spam, written for forms like ours", "contact forms", _UNLICENSED),
    "sms_spam": Source(0.4, "short messages, another medium", "SMS", "CC-BY-4.0 (UCI)"),
    "spamassassin": Source(0.15, "e-mail: off-domain, long", "e-mail", "public domain dedication as packaged"),
    "tgspam_en": Source(1.0, "recent scams, few", "Telegram", "MIT"),
    "spin_template": Source(0.3, "synthetic: one template said in many ways", "spam templates", _UNLICENSED),
}

# Rows that a third party lower-cased and cleaned look unlike anything a reader types.
CLEANED_WEIGHT = 0.3

_TOXIC_KINDS = ("insult", "profanity", "threat", "identity_attack")

# source -> (label that must be 0, or None, labels that are then taken to be 0, reason).
IMPLIED_ZEROS = {
    "civil_aayan": [
        (
            "toxicity",
            _TOXIC_KINDS,
            "toxic means rude in any way here, so a row that is not toxic has none of its kinds",
        ),
        (None, ("spam",), "comments that a news site published: nobody advertises in them"),
    ],
    "civil_toxic_spans": [(None, ("spam",), "comments that a news site published: nobody advertises in them")],
    "wiki_context_large": [
        ("toxicity", _TOXIC_KINDS, "as for civil_aayan"),
        (None, ("spam",), "talk pages: advertising is removed there"),
    ],
    "wiki_context_small": [("toxicity", _TOXIC_KINDS, "as for civil_aayan")],
    "cad_reddit": [("toxicity", ("spam",), "moderated threads on politics")],
}

# Labels that a source has and that are not learned from it: (source, label) -> reason.
LEFT_OUT_LABELS = {
    ("edos", "threat"): "positives only, all on women: without zeros of their own they teach that women are a threat",
    ("edos", "toxicity"): "positives only, all on women: without zeros of their own they teach that women are toxic",
    ("guest_misogyny", "toxicity"): "as for edos",
}

# Spam repeats itself within a video or a site, so whole ones are held out.
HELD_OUT_GROUPS = {
    "youtube_spam": {"LMFAO"},
    "blog_spam": {"lucas.cavalcanti.me", "allthingsdork.com"},
    "blog_ham": {"travisdowns.github.io"},
    "contact_form_spam": {"destination2dream.com"},
}

# Per cent of the other sources' rows that are held out for calibration, thresholds and statistics.
# News comments get more, because the thresholds are quantiles of their clean rows.
HELD_OUT_PERCENT = 10
HELD_OUT_PERCENT_BY_SOURCE = {"civil_aayan": 20}


def read(directory: Path) -> list[Row]:
    """Return the rows of `directory`/train, each text once and none that `directory`/eval has.

    Raises DataError when the folder or a file is missing, or a row is not of the documented form.
    """
    files = training_files(directory)
    seen = {fingerprint(row["text"]) for path in evaluation_files(directory) for row in read_lines(path)}
    rows = []
    for name in SOURCES:
        if name not in files:
            continue
        for raw in read_lines(files[name]):
            mark = fingerprint(raw["text"])
            if mark not in seen:
                seen.add(mark)
                rows.append(_row(name, raw, mark))
    return rows


def training_files(directory: Path) -> dict[str, Path]:
    """Return the path of each known source's file. Raises DataError if there is none, or an unknown one."""
    folder = Path(directory) / "train"
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}: give the folder that holds train/ and eval/.")
    files = {path.name.removesuffix(".jsonl.gz"): path for path in sorted(folder.glob("*.jsonl.gz"))}
    if not files:
        raise DataError(f"No *.jsonl.gz files in {folder}: there is nothing to learn from.")
    unknown = sorted(set(files) - set(SOURCES))
    if unknown:
        raise DataError(f"Unknown source {unknown[0]}: give it a weight and a licence in training/datasets.py.")
    return files


def evaluation_files(directory: Path) -> list[Path]:
    """Return the paths of the evaluation sets, which may be few or none."""
    return sorted((Path(directory) / "eval").glob("*.jsonl.gz"))


def read_lines(path: Path) -> Iterator[dict]:
    """Yield the rows of a file as they are. Raises DataError naming the file and line that is wrong."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    row["text"] + "", row["labels"].items()
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise DataError(f"{path}, line {number}: not a row with text and labels.") from error
                yield row
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror or error}.") from error


def labels_of(raw: dict) -> dict[str, int]:
    """Return a raw row's labels under the product's names; others are left out."""
    return {LABEL_NAMES[name]: int(value) for name, value in raw["labels"].items() if name in LABEL_NAMES}


def fingerprint(text: str) -> str:
    """Return a digest that is equal for texts which differ in case, spacing or invisible characters only."""
    return _digest(" ".join(normalise(text).text.split()))


def fingerprint_rows(rows: Iterable[Row]) -> str:
    """Return a digest of rows in their order: the same data gives the same digest."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.source}\0{_digest(row.text)}\0{sorted(row.labels.items())}\n".encode())
    return digest.hexdigest()


def weight_of(row: Row) -> float:
    """Return how much a row counts in training."""
    return SOURCES[row.source.removesuffix(CLEANED_SUFFIX)].weight * (
        CLEANED_WEIGHT if row.source.endswith(CLEANED_SUFFIX) else 1.0
    )


def domain_of(row: Row) -> str:
    """Return the kind of place a row comes from: sources of one domain share a base rate in training."""
    name = row.source.removesuffix(CLEANED_SUFFIX)
    return SOURCES[name].domain + row.source.removeprefix(name)


# Cleaned rows are a source of their own: their base rate and their spelling differ.
CLEANED_SUFFIX = "_cleaned"


def _row(source: str, raw: dict, mark: str) -> Row:
    meta = raw.get("meta") or {}
    labels = labels_of(raw)
    for condition, zeros, _reason in IMPLIED_ZEROS.get(source, ()):
        if condition is None or labels.get(condition) == 0:
            labels = dict.fromkeys(zeros, 0) | labels
    labels = {label: value for label, value in labels.items() if (source, label) not in LEFT_OUT_LABELS}
    groups = HELD_OUT_GROUPS.get(source)
    if groups is None:
        percent = HELD_OUT_PERCENT_BY_SOURCE.get(source, HELD_OUT_PERCENT)
        held_out = int(mark[:8], 16) % 100 < percent
    else:
        held_out = (meta.get("video") or meta.get("site")) in groups
    cleaned = meta.get("raw_text") is False
    return Row(raw["text"], labels, source + CLEANED_SUFFIX if cleaned else source, held_out)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
