"""Usage: python -m training default-model --data DIR [--out DIR] [--pipeline DIR] [--jobs N]

Rebuild the model that ships from the corpora in DIR (which holds train/ and eval/).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from classifier.loading import DEFAULT_DIRECTORY
from training.datasets import DataError
from training.train import build


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Returns 0, or 1 after one sentence on what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        trained = build(options.data, options.out, options.pipeline, options.jobs)
    except (DataError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1
    flagged = trained.model.card.statistics["clean_news_comments_flagged"]
    print(f"{trained.model.version} written to {options.out}; it flags {flagged:.1%} of clean news comments.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description="Train classifiers.")
    commands = parser.add_subparsers(dest="command", required=True)
    default = commands.add_parser("default-model", help="rebuild the model that ships")
    default.add_argument("--data", type=Path, required=True, help="the folder that holds train/ and eval/")
    default.add_argument("--out", type=Path, default=DEFAULT_DIRECTORY, help="where the model goes (default: %(default)s)")
    default.add_argument(
        "--pipeline", type=Path, default=Path("var/pipelines"), help="where the scikit-learn pipeline goes (default: %(default)s)"
    )
    default.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
