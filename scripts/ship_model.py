"""Make a run's network one of the packaged ones; let every document say what it does.

    python scripts/ship_model.py RUN [--size s] [--data processed]

Exports it, writes its SHA-256 into see/weights.py, measures it on the test images into docs/report or docs/report-m,
and puts the tables into MODEL_CARD.md and README.md. PrivateTest is looked at here, so this is for when everything has
been chosen. Weights are stored in 16 bits, which keeps the install small. A model file may stand for a run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from mien.measure.report import percent, table
from mien.see.classify import PACKAGED

ROOT = Path(__file__).parents[1]
REPORTS = {"s": "docs/report", "m": "docs/report-m"}


def main() -> None:
    """Ship what is named on the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path, help="the run's folder, or a model file")
    parser.add_argument("--size", choices=PACKAGED, default="s", help="which of the packaged networks it becomes")
    parser.add_argument("--data", type=Path, default=Path("processed"), help="what `mien data prepare` wrote")
    options = parser.parse_args()
    model, out = ROOT / "src/mien/models" / PACKAGED[options.size], REPORTS[options.size]
    mien("export", options.run, "--out", model, "--half", "--data", options.data)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    change(ROOT / "src/mien/see/weights.py", rf'("{re.escape(model.name)}": ")\w+', rf"\g<1>{digest}")
    mien("evaluate", "--data", options.data, "--model", options.size, "--out", ROOT / out, "--robustness")
    report: dict[str, Any] = json.loads((ROOT / out / "report.json").read_text(encoding="utf-8"))
    card = rf"(<!-- report: {out}/table.md -->\n).*?(<!-- end of report -->)"
    change(ROOT / "MODEL_CARD.md", card, lambda found: found[1] + table(report) + found[2])
    before = r"(?:[\d.]+ % \| )" * list(PACKAGED).index(options.size)
    for name, row in report["official"].items():
        line = rf"(\| {re.escape(name)} \| [\d,]+ \| {before})[\d.]+"
        change(ROOT / "README.md", line, rf"\g<1>{percent(row['accuracy'])}")
    if options.size == "s":
        mien("read", ROOT / "assets/astronaut.jpg", "--image-out", ROOT / "docs/astronaut.png")


def mien(*arguments: object) -> None:
    """Run a command of Mien in a process of its own, which sees the files as they are by then."""
    subprocess.run([sys.executable, "-m", "mien", *map(str, arguments)], check=True)


def change(path: Path, pattern: str, new: Any) -> None:
    """Replace the one place in a file that a pattern matches."""
    text, count = re.subn(pattern, new, path.read_text(encoding="utf-8"), flags=re.DOTALL)
    if count != 1:
        raise SystemExit(f"{path} has {count} places like {pattern}: mend it by hand")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
