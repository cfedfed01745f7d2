"""Made-up corpora in the documented form, small enough to train on in a second."""

import gzip
import json
import os
import random
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

KIND = [
    "thank",
    "council",
    "this",
    "thoughtful",
    "report",
    "about",
    "new",
    "bridge",
    "and",
    "the",
    "bus",
    "school",
]
VILE = {
    "toxic": ["awful", "nasty", "rotten", "foul"],
    "insult": ["idiot", "moron", "clown", "dimwit"],
    "obscene": ["damnit", "crapola", "bullcrap", "arsewort"],
    "threat": ["strangle", "stab", "bludgeon", "throttle"],
    "identity_attack": ["foreignscum", "heathenscum", "othersscum", "gingerscum"],
}
SPAM = ["casino", "pills", "http://pills.example", "cheap", "replica", "www.casino.example"]


def write_rows(path: Path, rows: list[dict]) -> None:
    """Write rows as the corpora are written: gzipped JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def sentence(choice: random.Random, *words: str) -> str:
    """A made-up comment: a dozen harmless words, with the given ones among them."""
    found = [*choice.choices(KIND, k=12), *words]
    choice.shuffle(found)
    return " ".join(found)


@pytest.fixture(scope="session")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four made-up sources and one evaluation set, with all labels, in the folders that training reads."""
    directory, choice = tmp_path_factory.mktemp("corpora"), random.Random(0)
    news = [{"text": sentence(choice), "labels": {"toxic": 0}, "source": "civil_aayan"} for _ in range(400)]
    kinds = []
    for index in range(600):
        kind = list(VILE)[index % len(VILE)]
        labels = {name: int(name in ("toxic", kind)) for name in VILE}
        kinds.append({"text": sentence(choice, *choice.choices(VILE[kind], k=3)), "labels": labels})
        kinds.append({"text": sentence(choice), "labels": dict.fromkeys(VILE, 0)})
    posts = [
        {
            "text": sentence(choice, *(choice.choices(SPAM, k=3) if index % 2 else [])),
            "labels": {"spam": index % 2},
            "meta": {"site": ("allthingsdork.com" if index % 5 == 0 else "lrem.net"), "website": "http://x.example"},
        }
        for index in range(400)
    ]
    write_rows(directory / "train" / "civil_aayan.jsonl.gz", news)
    write_rows(directory / "train" / "jigsaw_wiki.jsonl.gz", kinds)
    write_rows(directory / "train" / "blog_spam.jsonl.gz", posts)
    evaluation = [
        {
            "text": "idiot and moron " + sentence(choice) if index % 2 else sentence(choice),
            "labels": {"toxic": index % 2},
        }
        for index in range(60)
    ]
    write_rows(directory / "eval" / "made_up.jsonl.gz", evaluation)
    return directory


@pytest.fixture(scope="session")
def data() -> Path:
    """The real corpora, where they are at hand: COPYDESK_DATA, or ../shared/data."""
    directory = Path(os.environ.get("COPYDESK_DATA", ROOT.parent / "shared" / "data"))
    if not (directory / "train").is_dir():
        pytest.skip(f"no corpora in {directory}: set COPYDESK_DATA to the folder that holds train/ and eval/")
    return directory
