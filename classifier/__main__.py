"""Score comments from a file or a pipe, or print a model's card.

    python -m classifier score < texts.jsonl > scores.jsonl
    python -m classifier card

`score` reads one JSON object a line: `text` and, where known, `name`, `email`, `website`. It writes one
a line, in the same order: the other fields as they were, with `scores`, `model` and `spans`. A line that
cannot be scored is answered by a line with `error` in its place, is named on standard error, and makes the exit
code 1; the others are scored all the same. Exit code 2: the model or the command is wrong.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from tqdm import tqdm

from classifier import Card, Comment, Model, ModelError, load
from classifier.loading import DEFAULT_DIRECTORY, read_card

# Large enough for numpy to be fast, small enough for a pipe's reader to see progress at once.
BATCH_LINES = 256

OWN_FIELDS = ("name", "email", "website")
ANSWER_FIELDS = ("scores", "model", "spans", "error")


class BadLine(Exception):
    """A line of input that is not a comment; the message says why."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "card":
            print("\n".join(describe(read_card(options.model))))
            return 0
        return _score(load(options.model), sys.stdin.buffer, sys.stdout)
    except ModelError as error:
        print(f"classifier: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader (head, say) has what it wanted. Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def score_lines(model: Model, lines: Iterable[bytes]) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield an answer for each line, in order, with the line's number. Blank lines are passed over."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while batch := list(islice(numbered, BATCH_LINES)):
        rows = [_read(line) for _number, line in batch]
        verdicts = iter(model.score([row["comment"] for row in rows if "comment" in row]))
        for (number, _line), row in zip(batch, rows, strict=True):
            # What an earlier run answered, and this one does not, must not pass for this one's answer.
            fields = {name: value for name, value in row["fields"].items() if name not in ANSWER_FIELDS}
            answer = next(verdicts).as_dict() if "comment" in row else {"error": row["error"]}
            yield fields | answer, number


def _read(line: bytes) -> dict[str, Any]:
    """Return the line's fields with its comment, or with what is wrong with it."""
    fields: dict[str, Any] = {}
    try:
        content = json.loads(line)
        if not isinstance(content, dict):
            raise BadLine("not a JSON object")
        fields = content
        return {"fields": fields, "comment": _comment(fields)}
    except BadLine as error:
        return {"fields": fields, "error": str(error)}
    except (ValueError, RecursionError) as error:
        return {"fields": fields, "error": f"not JSON ({error})"}


def _comment(fields: Mapping[str, Any]) -> Comment:
    if not isinstance(fields.get("text"), str):
        raise BadLine('"text" is missing or not a string')
    own = {name: fields.get(name) for name in OWN_FIELDS}
    for name, value in own.items():
        if value is not None and not isinstance(value, str):
            raise BadLine(f'"{name}" is neither a string nor null')
    return Comment(fields["text"], **own)


def _score(model: Model, source: BinaryIO, sink: TextIO) -> int:
    if isinstance(sink, io.TextIOWrapper):
        sink.reconfigure(encoding="utf-8", newline="\n")
    failed = 0
    with tqdm(desc="scored", unit=" comments", disable=None, file=sys.stderr) as bar:
        for answer, number in score_lines(model, source):
            if "error" in answer:
                failed += 1
                tqdm.write(f"classifier: line {number}: {answer['error']}", file=sys.stderr)
            # ASCII escapes carry any string, lone surrogates included, through any pipe.
            sink.write(json.dumps(answer) + "\n")
            bar.update()
        sink.flush()
    if failed:
        print(f"classifier: {failed} lines could not be scored; see the lines with an error.", file=sys.stderr)
    return 1 if failed else 0


def describe(card: Card) -> Iterator[str]:
    """Yield the card as lines for a person."""
    yield f"{card.version}: {card.description}"
    yield ""
    yield f"{'label':<16} {'flag from':>10} {'found':>7} {'reject from':>12} {'AUC':>7} {'positives':>10}"
    for label in card.labels:
        flag, reject = card.operating_points[label]["flag"], card.operating_points[label]["reject"]
        overall = card.statistics.get("held_out", {}).get(label, {}).get("overall") or {}
        yield (
            f"{label:<16} {flag['threshold']:>10.4f} {_share(flag.get('recall')):>7} "
            f"{_number(reject and reject['threshold']):>12} {_number(overall.get('auc')):>7} "
            f"{overall.get('positives', '-'):>10}"
        )
    yield ""
    meanings = (f"{name}: {card.operating_points[name]['flag']['meaning']}" for name in card.labels)
    yield f"Meaning of flag: {'; '.join(meanings)}"
    yield f"Ordinary news comments flagged by any label: {_share(card.statistics.get('clean_news_comments_flagged'))}"
    yield ""
    for name, labels in card.statistics.get("evaluation_sets", {}).items():
        for label, figures in labels.items():
            yield f"AUC on {name}, {label}: {figures['auc']:.4f}"
    yield ""
    for name, source in card.data.get("sources", {}).items():
        why = f"weight {source['weight']:g}: {source['weight_reason']}"
        yield f"{name}: {source['rows']} rows; {why}; {source['licence']}"
    yield ""
    yield "Known limits:"
    yield from (f"- {limit}" for limit in card.limits)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m classifier", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, purpose in (("score", "score JSON lines from standard input"), ("card", "print what the model is")):
        command = commands.add_parser(name, help=purpose)
        command.add_argument(
            "--model", type=Path, default=DEFAULT_DIRECTORY, help="a model's folder (default: the shipped one)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
