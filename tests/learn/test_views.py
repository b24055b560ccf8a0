"""Views come out the same each time; files of them are averaged where they belong together and refused elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn.folds import all_training, folds
from mien.learn.model import OFFICIAL
from mien.learn.settings import Augmentation
from mien.learn.views import (
    LOGITS,
    STEP,
    Views,
    check_views,
    data_digest,
    packed,
    read_views,
    unpacked,
    view,
    write_views,
)

Change = Callable[[Views], Views]


def test_a_view_is_the_same_each_time_and_another_for_each_number(
    noise: dict[str, Split], changed: Augmentation
) -> None:
    faces = torch.from_numpy(all_training(noise).images)
    assert torch.equal(view(faces, 3, 0, changed), view(faces, 3, 0, changed))
    assert not torch.equal(view(faces, 3, 0, changed), view(faces, 4, 0, changed))
    assert not torch.equal(view(faces, 3, 0, changed), view(faces, 3, 1, changed))


def test_a_byte_a_logit_loses_nothing_that_a_student_would_see() -> None:
    logits = torch.randn(1000, LOGITS, generator=torch.Generator().manual_seed(0)) * 2
    kept = unpacked(packed(logits))
    for head in (slice(OFFICIAL), slice(OFFICIAL, LOGITS)):
        below = logits[:, head] - logits[:, head].amax(1, keepdim=True)
        assert (kept[:, head] - below).abs().max() <= STEP / 2 + 1e-5
        assert (kept[:, head].softmax(1) - logits[:, head].softmax(1)).abs().max() < 0.02


# --- A file ----------------------------------------------------------------------------------------------------------


def test_views_come_back_from_their_file_with_what_it_takes_to_trust_them(
    noise: dict[str, Split], views: list[Views], changed: Augmentation, tmp_path: Path
) -> None:
    write_views(views[1], tmp_path / "part.npz")
    again = read_views(tmp_path / "part.npz")
    assert again.digest == views[1].digest
    assert (again.seed, again.augmentation, again.everyone) == (0, changed, False)
    assert np.array_equal(again.logits, views[1].logits)
    assert np.array_equal(again.plain, views[1].plain)
    [teacher], training = again.teachers, all_training(noise)
    assert (teacher.name, teacher.settings.network, teacher.settings.held_out) == ("plain-s-1", "plain-s", "1")
    assert again.data == data_digest(training)
    held_out = folds(training) == 1
    assert teacher.rows.tolist() == again.rows.tolist() == training.rows[held_out].tolist()
    accuracy = (again.plain[:, :OFFICIAL].argmin(1) == training.labels[held_out]).mean()
    assert teacher.accuracy == pytest.approx(accuracy)
    check_views(again, training)


def broken(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def of_text(path: Path) -> None:
    path.write_text("rows, logits")


def of_other_arrays(path: Path) -> None:
    np.savez(path, rows=np.arange(3))


def of_other_shapes(path: Path) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **{**arrays, "logits": arrays["logits"][:, :-1]})


def with_facts(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with np.load(path) as file:
        arrays = dict(file)
    facts = json.loads(str(arrays.pop("facts")))
    change(facts)
    np.savez(path, facts=json.dumps(facts), **arrays)


def of_an_older_mien(path: Path) -> None:
    with_facts(path, lambda facts: facts.pop("teacher"))


def of_settings_to_come(path: Path) -> None:
    with_facts(path, lambda facts: facts["teacher"]["settings"].update(mystery=1))


@pytest.mark.parametrize(
    "change", [broken, of_text, of_other_arrays, of_other_shapes, of_an_older_mien, of_settings_to_come, Path.unlink]
)
def test_a_file_that_holds_no_views_is_one_line(
    views: list[Views], tmp_path: Path, change: Callable[[Path], None]
) -> None:
    path = tmp_path / "part.npz"
    write_views(views[0], path)
    change(path)
    for asked in (path, *([tmp_path] if path.exists() else [])):
        with pytest.raises(TrainingError, match=r"part\.npz") as error:
            read_views(asked)
        assert "\n" not in str(error.value)


# --- A folder --------------------------------------------------------------------------------------------------------


def test_a_folder_has_the_views_of_all_its_teachers_together(views: list[Views], tmp_path: Path) -> None:
    for number, part in enumerate(views):
        write_views(part, tmp_path / f"{number}.npz")
    (tmp_path / "README.md").write_text("what is here")
    together = read_views(tmp_path)
    assert [teacher.name for teacher in together.teachers] == ["plain-s-0", "plain-s-1"]
    assert together.rows.tolist() == sorted([*views[0].rows, *views[1].rows])
    for part in views:  # no image has two teachers here
        mine = np.isin(together.rows, part.rows)
        assert np.array_equal(together.logits[:, mine], part.logits)
        assert np.array_equal(together.plain[mine], part.plain)


def test_an_image_that_two_teachers_predicted_has_their_mean(views: list[Views], tmp_path: Path) -> None:
    [teacher] = views[0].teachers
    twin = replace(teacher, name="another", settings=replace(teacher.settings, seed=1))
    other = replace(views[0], teachers=(twin,), logits=views[0].logits[::-1].copy())
    for number, part in enumerate((views[0], other)):
        write_views(part, tmp_path / f"{number}.npz")
    together = read_views(tmp_path)
    assert len(together.rows) == len(views[0].rows)
    one, two = (unpacked(torch.from_numpy(part.logits[0])) for part in (views[0], other))
    assert torch.equal(packed((one + two) / 2), torch.from_numpy(together.logits[0]))
    assert np.array_equal(together.plain, views[0].plain)


def of_other_data(part: Views) -> Views:
    return replace(part, data="0123456789abcdef")


def of_another_seed(part: Views) -> Views:
    return replace(part, seed=1)


def of_other_augmentation(part: Views) -> Views:
    return replace(part, augmentation=Augmentation(rotation=90))


def fewer(part: Views) -> Views:
    return replace(part, logits=part.logits[:1])


def of_all_images(part: Views) -> Views:
    return replace(part, everyone=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_other_data, "are of different images"),
        (of_another_seed, "different seeds or augmentation"),
        (of_other_augmentation, "different seeds or augmentation"),
        (fewer, "have 2 and 1 views"),
        (of_all_images, "whether the teacher had learned"),
    ],
)
def test_a_file_that_does_not_belong_to_the_others_is_named(
    views: list[Views], tmp_path: Path, change: Change, said: str
) -> None:
    write_views(views[0], tmp_path / "a.npz")
    write_views(change(views[1]), tmp_path / "b.npz")
    with pytest.raises(TrainingError, match=rf"a\.npz and b\.npz in .* {said}.*: remove one of them"):
        read_views(tmp_path)


def test_a_teacher_that_is_there_twice_is_named(views: list[Views], tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_views(views[0], tmp_path / f"{name}.npz")
    with pytest.raises(TrainingError, match=r"a\.npz and b\.npz in .* are of the same teacher: remove one of them"):
        read_views(tmp_path)


def test_a_folder_without_views_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no views"):
        read_views(tmp_path)


# --- Trust -----------------------------------------------------------------------------------------------------------


def darker(split: Split) -> Split:
    return replace(split, images=split.images // 2)


def later(split: Split) -> Split:
    return replace(split, rows=split.rows + 1)


@pytest.mark.parametrize("change", [darker, later])
def test_views_of_other_images_are_refused(
    noise: dict[str, Split], views: list[Views], change: Callable[[Split], Split]
) -> None:
    with pytest.raises(TrainingError, match="other images"):
        check_views(views[0], change(all_training(noise)))


def test_views_that_come_out_otherwise_here_are_refused(noise: dict[str, Split], views: list[Views]) -> None:
    for grays in (views[0].grays + np.float32(0.01), views[0].grays[1:], views[0].grays * np.float32(np.nan)):
        with pytest.raises(TrainingError, match="comes out otherwise"):
            check_views(replace(views[0], grays=grays), all_training(noise))


def test_a_teacher_that_learned_from_what_it_predicted_is_refused(noise: dict[str, Split], views: list[Views]) -> None:
    [teacher] = views[0].teachers
    other = replace(views[0], teachers=(replace(teacher, rows=views[1].rows),), rows=views[1].rows)
    with pytest.raises(TrainingError, match="plain-s-0 learned from images that it predicted"):
        check_views(other, all_training(noise))
