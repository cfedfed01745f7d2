"""The command: scripts get a line for each line, in order, and are told of what could not be scored."""

import json
import subprocess
import sys
from pathlib import Path

from classifier import LABELS, Model

ROOT = Path(__file__).parent.parent.parent


def run(*arguments: str, lines: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run the command as a script would."""
    return subprocess.run(
        [sys.executable, "-m", "classifier", *arguments], input=lines, capture_output=True, cwd=ROOT, timeout=60
    )


def test_scores_keep_order_and_other_fields(shipped: Model) -> None:
    """600 lines, more than two batches: the answers stand in order, with the fields that came along."""
    rows = [{"text": f"comment {index} \u00e9\U0001f600", "id": index, "meta": {"a": [index]}} for index in range(600)]
    done = run("score", lines="".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert (0, b"") == (done.returncode, done.stderr), "no bar and no noise where there is no terminal"
    assert rows == [{name: answer[name] for name in ("text", "id", "meta")} for answer in answers]
    assert all(list(LABELS) == list(answer["scores"]) for answer in answers)
    assert {shipped.version} == {answer["model"] for answer in answers}


def test_a_bad_line_is_answered_in_its_place() -> None:
    """Nothing is silently lost: an error stands where the score would, and the exit code says that there are some."""
    lines = [
        b'{"text": "fine", "id": 1, "error": "from an earlier run"}',
        b"not json",
        b'{"id": 3, "scores": {"toxicity": 0.1}}',
        b"",
        b'["a", "list"]',
        b'{"text": "a", "name": 7, "id": 6}',
        b'{"text": "\xff"}',
        b'{"text": "\\ud800", "id": 8}',
    ]
    done = run("score", lines=b"\n".join(lines))
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    assert 1 == done.returncode
    assert ["scores", "error", "error", "error", "error", "error", "scores"] == [
        "error" if "error" in answer else "scores" for answer in answers
    ]
    assert [1, None, 3, None, 6, None, 8] == [answer.get("id") for answer in answers]
    assert not any("scores" in answer for answer in answers if "error" in answer)
    messages = done.stderr.decode().splitlines()
    assert ["line 2", "line 3", "line 5", "line 6", "line 7"] == [line.split(": ")[1] for line in messages[:5]]
    assert "5 lines could not be scored" in messages[5]


def test_no_lines_no_answers() -> None:
    """An empty file is no error."""
    done = run("score")

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)


def test_the_card_can_be_read(shipped: Model) -> None:
    """The version, each label, the sources with their licences, and the limits."""
    text = run("card").stdout.decode()

    assert shipped.version in text
    assert all(label in text for label in LABELS)
    assert all(name in text and source["licence"] in text for name, source in shipped.card.data["sources"].items())
    assert all(limit in text for limit in shipped.card.limits)


def test_a_wrong_model_is_one_sentence(tmp_path: Path) -> None:
    """No traceback: what is missing, and what to do."""
    done = run("score", "--model", str(tmp_path))

    assert 2 == done.returncode
    assert 1 == len(done.stderr.decode().splitlines())
    assert "card.json" in done.stderr.decode()


def test_scoring_never_loads_the_training_libraries() -> None:
    """Loading and scoring import neither scikit-learn nor scipy nor joblib: a worker would carry them for nothing."""
    code = (
        "import sys; from classifier import Comment, load; load().score([Comment('hello')]);"
        "print(sorted({'sklearn', 'scipy', 'joblib', 'tqdm', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, timeout=60, text=True)

    assert "[]\n" == done.stdout, done.stderr


def test_exports_are_the_documented_ones() -> None:
    """The package's public names are fixed: the service depends on them."""
    import classifier

    assert {"LABELS", "Card", "Comment", "Model", "ModelError", "Span", "Verdict", "load", "save"} == set(
        classifier.__all__
    )
