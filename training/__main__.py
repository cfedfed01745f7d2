"""Train the model that ships, and write its figures into the page about it.

python -m training default-model --data DIR [--out DIR] [--pipeline DIR] [--jobs N]
python -m training figures [--model DIR] [--page FILE]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from classifier import ModelError
from classifier.loading import DEFAULT_DIRECTORY, read_card
from training import document
from training.datasets import DataError
from training.train import build


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 after one sentence on what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "figures":
            document.write(read_card(options.model), options.page)
            print(f"The figures of {options.model} are in {options.page}.")
        else:
            model = build(options.data, options.out, options.pipeline, options.jobs).model
            flagged = model.card.statistics["clean_news_comments_flagged"]
            print(f"{model.version} written to {options.out}; it flags {flagged:.1%} of clean news comments.")
    except (DataError, ModelError, OSError, document.PageError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train classifiers.")
    commands = parser.add_subparsers(dest="command", required=True)
    default = commands.add_parser("default-model", help="rebuild the model that ships")
    default.add_argument("--data", type=Path, required=True, help="the folder that holds train/ and eval/")
    default.add_argument(
        "--out", type=Path, default=DEFAULT_DIRECTORY, help="where the model goes (default: %(default)s)"
    )
    default.add_argument(
        "--pipeline",
        type=Path,
        default=Path("var/pipelines"),
        help="where the scikit-learn pipeline goes (default: %(default)s)",
    )
    default.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    figures = commands.add_parser("figures", help="write a card's figures into its page")
    figures.add_argument(
        "--model", type=Path, default=DEFAULT_DIRECTORY, help="the model's folder (default: %(default)s)"
    )
    figures.add_argument("--page", type=Path, default=Path("docs/model.md"), help="the page (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
