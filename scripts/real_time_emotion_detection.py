"""Reads emotions in real time, from the webcam until `q` or Ctrl+C: `mien watch`, with --source for what it watches."""

from argparse import ArgumentParser
from pathlib import Path

from mien.apps.cli import main


def arguments() -> list[str]:
    """Return what the user asks for in the words of `mien watch`, whose help explains all other options."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--source")
    asked, others = parser.parse_known_args()
    if "--help" in others:
        print(f"Usage: {Path(__file__).name} [--source SOURCE] [OPTIONS], with the source and the options of:")
    return ["watch", *others, *(["--", asked.source] if asked.source is not None else [])]


if __name__ == "__main__":
    main(arguments())
