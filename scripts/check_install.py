"""Check what the base install promises: its size, what is not in it, how long `import mien` takes."""

import importlib.util
import statistics
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

MOST_MEGABYTES = 520
MOST_SECONDS = 0.6
INSTALLERS = ("pip", "setuptools", "pkg_resources")  # they are in a fresh environment
UNWANTED = ("torch", "tensorflow", "keras", "joblib", "mtcnn")


def main() -> int:
    """Print each figure beside its limit; 1 where the size or a package breaks its promise."""
    places = {Path(sysconfig.get_path(key)) for key in ("purelib", "platlib")}
    entries = [entry for place in places for entry in place.iterdir() if not entry.name.startswith(INSTALLERS)]
    files = [file for entry in entries for file in (entry.rglob("*") if entry.is_dir() else [entry])]
    size = sum(file.stat().st_size for file in files if file.is_file()) / 1e6
    found = [name for name in UNWANTED if importlib.util.find_spec(name)]
    times = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import mien"], check=True)
        times.append(time.perf_counter() - began)
    print(f"installed: {size:.1f} MB (at most {MOST_MEGABYTES})")
    print(f"import mien, with the start of Python: {statistics.median(times):.2f} s (at most {MOST_SECONDS})")
    print(f"unwanted packages: {', '.join(found) or 'none'}")
    return int(size > MOST_MEGABYTES or bool(found))  # the time depends on the machine, so it only stands there


if __name__ == "__main__":
    sys.exit(main())
