"""Reads emotions in real time, from the webcam until `q` or Ctrl+C: `mien watch`, with --source for what it watches."""

from argparse import ArgumentParser

from mien.apps.cli import main


def arguments() -> list[str]:
    """Return what the user asks for in the words of `mien watch`, which explains all other options by --help."""
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--source")
    asked, others = parser.parse_known_args()
    return ["watch", *others, *(["--", asked.source] if asked.source is not None else [])]


if __name__ == "__main__":
    main(arguments())
