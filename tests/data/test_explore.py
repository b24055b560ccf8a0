"""Looking at prepared data gives pictures and figures that say what is in it."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.explore import explore, label_noise, mean_faces, noise_csv, samples
from mien.data.fer2013 import PRIVATE, PUBLIC, Fer2013
from mien.data.prepare import Split, load, prepare
from mien.errors import DataError, OutputError
from mien.labels import EMOTIONS, FERPLUS

from .forms import write, write_votes

PICTURES = {"class_distribution.png", "sample_images.png", "mean_faces.png"}
NOISE = {"label_noise.png", "label_noise.csv"}

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


@pytest.fixture(scope="session")
def processed(
    voted: Fer2013,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("explore")
    votes = write_votes(voted, folder / "fer2013new.csv")
    prepare(write("fer2013.csv", voted, folder), folder / "processed", votes=votes)
    return folder / "processed"


def ballots(**votes: int) -> list[int]:
    return [votes.get(name, 0) for name in FERPLUS]


def test_the_pictures_are_drawn_and_the_counts_returned(processed: Path, tmp_path: Path) -> None:
    counts, noise = explore(processed, tmp_path / "plots")
    assert {path.name for path in (tmp_path / "plots").iterdir()} == PICTURES | NOISE
    for name in PICTURES | {"label_noise.png"}:
        with Image.open(tmp_path / "plots" / name) as picture:
            assert picture.width > 500
            assert np.ptp(np.asarray(picture.convert("L"))) > 200  # not an empty sheet
    assert counts.header == ["emotion", "train", "val", "test"]
    assert counts.rows == [*([emotion, 18, 2, 4] for emotion in EMOTIONS), ["all", 126, 14, 28]]
    assert noise.title == "Labels of PrivateTest and the ten votes of FER+"
    assert [row[:2] for row in noise.rows] == [*([emotion, 2] for emotion in EMOTIONS), ["all", 14]]


def test_without_votes_there_is_no_label_noise(small: Fer2013, tmp_path: Path) -> None:
    prepare(write("fer2013.csv", small, tmp_path), tmp_path / "processed")
    assert len(explore(tmp_path / "processed", tmp_path)) == 1
    assert {path.name for path in tmp_path.glob("*.png")} == PICTURES


def test_the_same_data_gives_the_same_files(processed: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        explore(processed, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_what_cannot_be_read_or_written_is_said(processed: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="prepare the data first"):
        explore(tmp_path, tmp_path / "plots")
    with pytest.raises(OutputError, match="there is no folder"):
        explore(processed, tmp_path / "nowhere" / "plots")
    (tmp_path / "plots").write_text("mine")
    with pytest.raises(OutputError, match="is not a folder"):
        explore(processed, tmp_path / "plots")
    assert (tmp_path / "plots").read_text() == "mine"


def test_without_matplotlib_it_says_what_to_install(processed: Path) -> None:
    program = """
import sys
sys.modules["matplotlib"] = None  # importing it raises ModuleNotFoundError
from pathlib import Path
from mien.data.explore import explore
from mien.errors import MissingExtra
try:
    explore(Path(sys.argv[1]), Path(sys.argv[2]))
except MissingExtra as error:
    print(error)
"""
    command = [sys.executable, "-c", program, str(processed), str(processed.parent / "plots")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "drawing needs matplotlib: pip install 'mien[plot]'\n"


def test_samples_are_of_their_emotion_and_none_comes_twice(processed: Path) -> None:
    train = load(processed, "train")
    for code, images in enumerate(samples(train, 5, seed=0)):
        drawn = {image.tobytes() for image in images}
        assert len(drawn) == 5
        assert drawn <= {image.tobytes() for image in train.images[train.labels == code]}
    assert samples(train, 5, seed=0)[0].tobytes() == samples(train, 5, seed=0)[0].tobytes()
    assert len(samples(train, 100, seed=0)[0]) == 18  # all there are


def test_a_mean_face_is_the_mean_of_its_emotion() -> None:
    images = np.stack([np.full((48, 48), value, np.uint8) for value in (10, 20, 90)])
    faces = mean_faces(Split(images, np.array([SAD, SAD, HAPPY], np.uint8), np.arange(3, dtype=np.int32)))
    assert [faces[code].mean() for code in (SAD, HAPPY)] == [15, 90]
    assert faces[0].mean() == 40  # an emotion without images: the mean of all


def test_label_noise_counts_what_voters_saw() -> None:
    votes = [
        ballots(happiness=9, neutral=1),
        ballots(happiness=5, neutral=5),  # a tie: no choice has more votes than the label
        ballots(happiness=4, contempt=6),
        ballots(surprise=10),
        ballots(),  # nobody voted
    ]
    noise = label_noise(np.full(5, HAPPY, np.uint8), np.array(votes, np.uint8))
    assert noise.images.tolist() == [5 if code == HAPPY else 0 for code in range(7)]
    assert noise.agreed[HAPPY] == 2 / 5
    assert noise.unseen[HAPPY] == 2 / 5
    shares = dict(zip(FERPLUS, noise.votes[HAPPY].round(3).tolist(), strict=True))
    assert shares == {
        name: {"happiness": 0.36, "surprise": 0.2, "contempt": 0.12, "neutral": 0.12}.get(name, 0.0) for name in FERPLUS
    }


def test_the_noise_is_written_as_csv() -> None:
    noise = label_noise(np.array([SAD], np.uint8), np.array([ballots(sadness=3, neutral=7)], np.uint8))
    rows = list(csv.DictReader(noise_csv(noise).decode().splitlines()))
    assert [row["label"] for row in rows] == list(EMOTIONS)
    sad = rows[SAD]
    assert (sad["images"], sad["most_votes"], sad["no_vote"]) == ("1", "0.0000", "0.0000")
    assert (sad["sadness"], sad["neutral"], sad["NF"]) == ("0.3000", "0.7000", "0.0000")


def test_where_public_and_private_are_told_apart_the_noise_is_that_of_private(processed: Path) -> None:
    test = load(processed, "test")
    assert test.usage is not None
    assert set(test.usage) == {PUBLIC, PRIVATE}
    assert sum(row[1] for row in explore(processed, processed.parent)[1].rows[:-1]) == (test.usage == PRIVATE).sum()
