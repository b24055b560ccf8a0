"""What is known of the real FER2013 comes out of the readers; skipped where it is not: it may not be passed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mien.data.cleaning import BLANK, CONFLICT, TWIN, duplicate_groups, facts, rows_to_drop
from mien.data.explore import label_noise
from mien.data.fer2013 import PRIVATE, PUBLIC, PUBLISHED_MD5, TRAINING, Fer2013
from mien.data.prepare import load, prepare
from mien.labels import EMOTIONS

MEASURE = """
import sys, time
from pathlib import Path
from mien.data.read import read
read(Path(sys.argv[1]))
peak = next(line for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))  # in KiB (proc(5))
print(time.process_time(), peak.split()[1])
"""


def test_its_parts_have_the_sizes_published(real: Fer2013) -> None:
    assert [int((real.usage == code).sum()) for code in (TRAINING, PUBLIC, PRIVATE)] == [28_709, 3_589, 3_589]
    assert PUBLISHED_MD5[real.md5] == "fer2013.csv"


def test_its_duplicates_leaks_and_blanks_are_counted(real: Fer2013) -> None:
    known = facts(real, duplicate_groups(real.images))
    assert known["groups of duplicates"] == 1_516
    assert known["groups with conflicting labels"] == 57
    assert known["PrivateTest images also in Training"] == 288
    assert known["PublicTest images also in Training"] == 280
    assert known["blank images"] == 12


def test_without_twins_and_blanks_28006_training_rows_stay(real: Fer2013) -> None:
    reasons = list(rows_to_drop(real, duplicate_groups(real.images)).values())
    assert 28_709 - reasons.count(TWIN) - reasons.count(BLANK) == 28_006
    assert reasons.count(CONFLICT) == 50


def test_without_its_twins_private_test_has_3301_images(real_csv: Path, tmp_path: Path) -> None:
    manifest = prepare(real_csv, tmp_path / "processed")
    test, train, val = (load(tmp_path / "processed", name) for name in ("test", "train", "val"))
    assert test.usage is not None and test.twin is not None
    assert int(((test.usage == PRIVATE) & ~test.twin).sum()) == 3_301
    assert (manifest["counts"]["train"]["all"], manifest["counts"]["val"]["all"]) == (25_160, 2_796)
    for code in range(len(EMOTIONS)):  # stratified: a tenth of each
        share = (val.labels == code).sum() / ((train.labels == code).sum() + (val.labels == code).sum())
        assert share == pytest.approx(0.1, abs=0.002)
    groups = duplicate_groups(np.concatenate([train.images, val.images, test.images]))
    sides = np.split(groups, [len(train.labels), len(train.labels) + len(val.labels)])
    assert not set(sides[0]) & set(sides[1])
    assert not (set(sides[0]) | set(sides[1])) & set(sides[2])


def test_as_published_keeps_all_of_it(real_csv: Path, tmp_path: Path) -> None:
    counts = prepare(real_csv, tmp_path / "processed", as_published=True)["counts"]
    assert counts["train"]["all"] + counts["val"]["all"] == 28_709
    assert counts["test"]["all"] == 7_178


def test_its_labels_are_as_noisy_as_is_known(real: Fer2013) -> None:
    private = real.usage == PRIVATE
    assert real.votes is not None
    noise = label_noise(real.labels[private], real.votes[private])
    assert (noise.unseen * noise.images).sum() / noise.images.sum() == pytest.approx(0.16, abs=0.005)
    assert (noise.agreed * noise.images).sum() / noise.images.sum() == pytest.approx(0.64, abs=0.005)
    assert noise.agreed[EMOTIONS.index("fear")] == pytest.approx(0.17, abs=0.005)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here, which tells the memory used")
def test_the_csv_of_301_mb_is_read_in_12_seconds_and_half_a_gigabyte(real_csv: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(real_csv)], capture_output=True, text=True, check=True)
    seconds, kib = map(float, done.stdout.split())
    assert seconds < 12  # of one core, whatever else the machine does
    assert kib < 0.5 * 2**20
