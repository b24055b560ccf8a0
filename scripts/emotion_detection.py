"""Reads the emotions in a picture: `mien read` under other names for its options."""

from argparse import ArgumentParser

from mien.apps.cli import main


def arguments() -> list[str]:
    """Return what the user asks for in the words of `mien read`."""
    parser = ArgumentParser(description="Read the emotion of every face in a picture.")
    parser.add_argument("--image", required=True, metavar="PATH", help="the picture")
    parser.add_argument("--output_image", metavar="PATH", help="write the annotated picture")
    parser.add_argument("--output_csv", metavar="PATH", help="write a CSV of how often each emotion was seen")
    asked = parser.parse_args()
    outputs = {"--image-out": asked.output_image, "--counts": asked.output_csv}
    return ["read", *(f"{name}={path}" for name, path in outputs.items() if path), "--", asked.image]


if __name__ == "__main__":
    main(arguments())
