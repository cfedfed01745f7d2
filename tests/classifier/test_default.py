"""The model that ships: kind comments pass, vile ones and spam are flagged, and it fits where it must run."""

import subprocess
import sys
from pathlib import Path

import pytest

from classifier import LABELS, Comment, Model
from classifier.loading import DEFAULT_DIRECTORY

ROOT = Path(__file__).parent.parent.parent


def flags(model: Model, text: str) -> set[str]:
    """The labels whose flag threshold the text reaches."""
    verdict = model.score([Comment(text)])[0]
    return {label for label in LABELS if verdict.scores[label] >= model.card.threshold(label, "flag")}


KIND = [
    "Thank you for this thoughtful piece, I learned a lot.",
    "Great article!",
    "I agree.",
    "Thanks",
    "\U0001f44d",
    "",
    "Congratulations to the team, well deserved.",
    "I disagree with the mayor's plan; the budget doesn't add up.",
    "My mother died of cancer last year, this hits home.",
    "The Muslims in my neighbourhood are lovely people.",
    "As a gay man I felt welcome there.",
    "Slavery was a crime against humanity.",
    "Where can I read the full report? http://www.parliament.uk/report",
    "He shot the ball over the bar again, what a match!",
]


@pytest.mark.parametrize("text", KIND)
def test_a_kind_comment_is_not_flagged(shipped: Model, text: str) -> None:
    """No label reaches its threshold, however short the comment is."""
    assert set() == flags(shipped, text)


VILE = [
    ("You are a disgusting idiot, go kill yourself.", {"toxicity", "insult"}),
    ("Shut up moron", {"toxicity", "insult"}),
    ("fuck you", {"toxicity", "profanity"}),
    ("I will kill you and your family", {"toxicity", "threat"}),
    ("Women are too stupid to vote", {"toxicity", "identity_attack"}),
    ("All muslims should be deported, they are vermin", {"toxicity", "identity_attack"}),
    ("You're pathetic, you lying piece of shit.", {"toxicity", "insult", "profanity"}),
    ("you id\u200biot", {"toxicity", "insult"}),
    ("Cheap viagra! Visit http://pills.example now!!!", {"spam"}),
    ("I really like your blog, keep up the good work! Check my site http://best-shoes.com", {"spam"}),
    ("Make $5000 a week working from home, click here www.easycash.biz", {"spam"}),
    ("check out my channel please subscribe", {"spam"}),
]


@pytest.mark.parametrize(("text", "labels"), VILE, ids=[row[0] for row in VILE])
def test_a_vile_comment_is_flagged_for_what_it_is(shipped: Model, text: str, labels: set[str]) -> None:
    """At least the labels of the row reach their thresholds."""
    assert labels <= flags(shipped, text)


FALSE_ALARMS = [
    "Kill the bill before it kills the hospital.",
    "Two women were killed in the crash.",
    "Women deserve equal pay.",
    "See https://www.bbc.co.uk/news/uk-12345 for more.",
    "Sorry, I was stupid to believe that.",
]
MISSES = ["Drop dead."]


@pytest.mark.parametrize("text", [*FALSE_ALARMS, *MISSES])
def test_known_errors_are_the_documented_ones(shipped: Model, text: str) -> None:
    """The page admits these; whoever mends one strikes it from the page, too."""
    assert bool(flags(shipped, text)) == (text in FALSE_ALARMS)
    page = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    assert f"*{text}*" in " ".join(page.split())


def test_few_ordinary_comments_are_flagged(shipped: Model) -> None:
    """The card's own figure: all labels together send at most 5 % of clean news comments to a person."""
    assert shipped.card.statistics["clean_news_comments"] > 1000
    assert shipped.card.statistics["clean_news_comments_flagged"] <= 0.05


def test_the_marked_words_are_the_vile_ones(shipped: Model) -> None:
    """The span that weighs most for an insult is the insult, where it stands in the original text."""
    text = "\u201cWell\u201d \u2014 you are a complete  IDIOT, sir!"
    spans = [span for span in shipped.score([Comment(text)])[0].spans if span.label == "insult"]

    assert "IDIOT" == text[spans[0].begin : spans[0].end]


def test_it_is_small_enough_to_keep_in_the_repository() -> None:
    """At most 8 MiB, and nothing in the folder but the weights and the card."""
    files = {path.name: path.stat().st_size for path in DEFAULT_DIRECTORY.iterdir()}

    assert {"weights.safetensors", "card.json"} == set(files)
    assert sum(files.values()) <= 8 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_it_fits_a_small_machine() -> None:
    """A process with the model loaded that has scored 512 comments stays under 90 MB."""
    code = (
        "from classifier import Comment, load; model = load();"
        "model.score([Comment(f'comment {index} ' + 'you are right about this ' * 12) for index in range(512)]);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=60, text=True)

    assert int(done.stdout) < 90 * 1024, done.stderr
