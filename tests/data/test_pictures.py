"""Pictures are read by the folders they are in, whatever these are called; what does not belong is named."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.data.fer2013 import PRIVATE, PUBLIC, TEST, TRAINING, Fer2013, emotion_of, usage_of
from mien.data.read import read
from mien.errors import DataError
from mien.labels import EMOTIONS

from .forms import content, make, pictures_of, refused, write, write_folder, write_zip

OTHER_NAMES = {
    "angry": "anger",
    "disgust": "Disgusted",
    "fear": "fearful",
    "happy": "happiness",
    "sad": "Sadness",
    "surprise": "SURPRISED",
}


def renamed(data: Fer2013, folder: Path, train: str, test: str, names: str = "{emotion}/{file}") -> Path:
    """Write pictures below other folders; their own names do not say which test set they are in."""
    members = []
    for number, (name, picture) in enumerate(pictures_of(data)):
        split, emotion, _ = name.split("/")
        below = names.format(emotion=emotion, other=OTHER_NAMES.get(emotion, emotion), file=f"im{number:03}.png")
        members.append((f"{train if split == 'train' else test}/{below}", picture))
    return write_folder(folder / "fer", members)


# --- Splits ----------------------------------------------------------------------------------------------------------


def test_kaggles_names_tell_public_from_private_and_others_are_plainly_test(small: Fer2013, tmp_path: Path) -> None:
    source = write("folders", small, tmp_path)
    assert set(read(source).usage) == {TRAINING, PUBLIC, PRIVATE}
    assert set(read(renamed(small, tmp_path, "train", "test")).usage) == {TRAINING, TEST}


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Validation", "VAL", "images/validation"])
def test_validation_is_held_out_as_public_test(small: Fer2013, tmp_path: Path, name: str) -> None:
    found = read(renamed(small, tmp_path, str(PurePosixPath(name).with_name("train")), name))
    assert np.bincount(found.usage).tolist() == [140, 28]
    assert found.validation == 28


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "PublicTest", "PrivateTest")])
def test_three_splits_are_those_of_the_csv_file(small: Fer2013, tmp_path: Path, names: tuple[str, ...]) -> None:
    pictures = [picture for _, picture in pictures_of(small)]
    members = [
        (f"{names[usage]}/{EMOTIONS[label]}/{number}.png", picture)
        for number, (usage, label, picture) in enumerate(zip(small.usage, small.labels, pictures, strict=True))
    ]
    found = read(write_zip(tmp_path / "three.zip", members))
    assert content(found) == content(small)
    assert found.validation == (14 if "val" in names else 0)


@pytest.mark.parametrize("train", ["train", "TRAIN", "Training", "data/train/images"])
@pytest.mark.parametrize(
    "names", ["{emotion}/{file}", "{other}/{file}", "{emotion}/more/{file}", "faces/{emotion}/{file}"]
)
def test_folders_go_by_any_of_their_names_and_may_be_deeper(
    small: Fer2013, tmp_path: Path, train: str, names: str
) -> None:
    found = read(renamed(small, tmp_path, train, "test", names))
    everything = [(min(usage, 1), label, image) for usage, label, image in content(small)]
    assert sorted((min(usage, 1), label, image) for usage, label, image in content(found)) == sorted(everything)


def test_the_innermost_folders_count(small: Fer2013, tmp_path: Path) -> None:
    assert content(read(write("folders", small, tmp_path).rename(tmp_path / "neutral").parent)) == content(small)


@given(name=st.sampled_from(["training", "PublicTest", "private_test", "validation"]), data=st.data())
def test_the_name_of_a_split_may_have_any_capitals_spaces_and_hyphens(name: str, data: st.DataObject) -> None:
    changed = "".join(
        data.draw(st.sampled_from([letter.upper(), letter.lower(), f" {letter}", f"{letter}-"])) for letter in name
    )
    assert usage_of(changed) == usage_of(name) is not None
    assert usage_of(f"{name}s") is None


def test_emotions_have_the_codes_of_their_names() -> None:
    assert [emotion_of(name) for name in EMOTIONS] == list(range(7))
    assert [emotion_of(OTHER_NAMES[name]) for name in EMOTIONS[:6]] == list(range(6))
    assert emotion_of("contempt") is None


# --- Pictures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "kind"), [("RGB", "JPEG"), ("RGB", "PNG"), ("L", "TGA"), ("P", "GIF"), ("CMYK", "TIFF")]
)
def test_pictures_are_made_gray_and_48_pixels_wide(small: Fer2013, tmp_path: Path, mode: str, kind: str) -> None:
    source = write("folders", small, tmp_path)
    path = next((source / "train" / "happy").iterdir())
    picture = Image.new("RGB", (96, 130), (200, 100, 50)).convert(mode, palette=Image.Palette.ADAPTIVE)
    picture.save(path, kind)
    data = read(source)
    row = data.names.index(path.relative_to(source).as_posix())
    gray = picture.convert("RGB").convert("L").getpixel((0, 0))
    assert np.abs(data.images[row].astype(int) - gray).max() <= 2


def test_sixteen_bits_and_transparency_become_the_grays_that_they_show(small: Fer2013, tmp_path: Path) -> None:
    source = write("folders", small, tmp_path)
    ramp = np.tile(np.arange(48) * 5, (48, 1))
    deep, clear = source / "train/happy/deep.png", source / "train/happy/clear.png"
    Image.fromarray((ramp * 257).astype(np.uint16)).save(deep)
    Image.new("RGBA", (48, 48), (0, 0, 0, 0)).save(clear)
    data = read(source)
    assert np.array_equal(data.images[data.names.index("train/happy/deep.png")], ramp)
    assert (data.images[data.names.index("train/happy/clear.png")] == 255).all()


def test_linked_folders_are_read_once_and_links_to_nothing_are_named(small: Fer2013, tmp_path: Path) -> None:
    source = write("folders", small, tmp_path)
    before = content(read(source))
    (source / "train" / "happy").rename(tmp_path / "elsewhere")
    (source / "train" / "happy").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "circle").symlink_to(source)
    assert content(read(source)) == before
    (source / "train" / "sad" / "lost.png").symlink_to(tmp_path / "nowhere")
    assert "train/sad/lost.png cannot be read" in refused(source)


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "labels.csv", "train/names.txt", "a/b.json"])
def test_files_of_other_kinds_beside_the_folders_are_no_part_of_the_data(
    small: Fer2013, tmp_path: Path, name: str
) -> None:
    assert content(read(write_folder(write("folders", small, tmp_path), [(name, b"words")]))) == content(small)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "train/contempt/1.jpg",
            "is in no folder named for its emotion: call that angry, disgust, fear, happy, sad, surprise or neutral",
        ),
        ("train/1.jpg", "is in no folder named for its emotion"),
        ("train/0/1.jpg", "is in no folder named for its emotion"),
        ("dev/happy/1.jpg", "is in no folder named for its split: call that train, validation or test"),
        ("happy/1.heic", "is in no folder named for its split"),
        ("1.jpg", "is in no folder named for its split"),
        ("train/happy/1.jpg", "no readable picture"),
        ("train/happy/notes.txt", "no readable picture"),
    ],
)
@pytest.mark.parametrize("form", ["folders", "zip"])
def test_a_stray_file_is_named(small: Fer2013, tmp_path: Path, form: str, name: str, says: str) -> None:
    source = write(form, small, tmp_path)
    if form == "folders":
        write_folder(source, [(name, b"no picture")])
    else:
        with zipfile.ZipFile(source, "a") as archive:
            archive.writestr(name, b"no picture")
    message = refused(source)
    assert says in message
    assert name in message


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_damaged_picture_is_read_or_named(data: st.DataObject) -> None:
    whole = io.BytesIO()
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "TGA"]))
    Image.radial_gradient("L").resize((48, 48)).save(whole, kind)
    damaged = bytearray(whole.getvalue())
    for place in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=5)):
        damaged[place] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    with tempfile.TemporaryDirectory() as folder:
        source = write("folders", make([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), Path(folder))
        (source / "train" / "angry" / "1.jpg").write_bytes(damaged[:cut])
        try:
            assert len(read(source).labels) == 4
        except DataError as error:
            assert str(error).startswith("train/angry/1.jpg ")


def test_pictures_of_monstrous_size_are_refused_before_they_are_decoded(small: Fer2013, tmp_path: Path) -> None:
    source = write("folders", small, tmp_path)
    path = source / "train" / "sad" / "big.png"
    Image.new("1", (9000, 9000)).save(path)
    assert "has 9,000×9,000 pixels" in refused(source)
    Image.new("1", (20_000, 20_000)).save(path)  # more than Pillow itself would open
    assert "has far too many pixels" in refused(source)
    with path.open("wb") as file:
        file.truncate(2**25)  # a file of 32 MiB without a byte of content
    assert "has more than 16 MiB" in refused(source)
