"""Teachers predict what they have not seen; students come closer to them, and learn the rest from labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mien.data.prepare import Split
from mien.errors import TrainingError
from mien.learn.checkpoint import CHECKPOINT, WEIGHTS, load_checkpoint, write
from mien.learn.distil import ViewLoader, flip_tta, predict_views
from mien.learn.folds import all_training, folds
from mien.learn.loader import Batch
from mien.learn.loss import distance, loss_of
from mien.learn.machine import Machine
from mien.learn.model import OFFICIAL
from mien.learn.settings import Augmentation, Settings, settings_from
from mien.learn.train import train
from mien.learn.trained import load_trained
from mien.learn.views import LOGITS, Views, mean_of, packed, unpacked, view

Data = dict[str, Split]
CPU = torch.device("cpu")


# --- Teachers --------------------------------------------------------------------------------------------------------


def test_a_teacher_predicts_what_it_held_out(
    noise: Data, teachers: list[Path], views: list[Views], changed: Augmentation
) -> None:
    training = all_training(noise)
    images = torch.from_numpy(training.images)
    for fold, (run, found) in enumerate(zip(teachers, views, strict=True)):
        held_out = np.flatnonzero(folds(training) == fold)
        assert found.rows.tolist() == training.rows[held_out].tolist()
        for faces, logits in ((images, found.plain), (view(images, 1, 0, changed), found.logits[1])):
            wanted = packed(flip_tta(load_trained(run).net, faces, torch.from_numpy(held_out)))
            assert (
                wanted.int() - torch.from_numpy(logits).int()
            ).abs().max() <= 1  # where a batch of another size rounds otherwise


def test_who_learned_every_image_teaches_only_where_all_are_asked_for(
    noise: Data, tiny: Settings, changed: Augmentation, tmp_path: Path
) -> None:
    train(noise, tmp_path / "s", replace(tiny, held_out="public"), machine=Machine())
    training = {name: noise[name] for name in ("train", "val")}  # what the command reads
    with pytest.raises(TrainingError, match="learned from every training image: it can teach only with `everyone`"):
        predict_views(training, [tmp_path / "s"], changed, machine=Machine(), count=1)
    [found] = predict_views(training, [tmp_path / "s"], changed, machine=Machine(), count=1, everyone=True)
    assert found.rows.tolist() == list(range(70))


def test_who_learned_from_other_images_teaches_nothing(
    noise: Data, teachers: list[Path], changed: Augmentation
) -> None:
    other = {**noise, "train": noise["val"], "val": noise["train"]}
    other["train"] = replace(other["train"], images=255 - other["train"].images)
    with pytest.raises(TrainingError, match="may have seen any of these"):
        predict_views(other, teachers, changed, machine=Machine(), count=1)


def test_weights_of_other_code_teach_nothing(
    noise: Data, teachers: list[Path], changed: Augmentation, tmp_path: Path
) -> None:
    saved = load_checkpoint(teachers[0] / WEIGHTS)
    write(tmp_path / WEIGHTS, {**saved, "settings": {**saved["settings"], "network": "resnet-m"}})
    with pytest.raises(TrainingError, match="trained by other code"):
        predict_views(noise, [tmp_path], changed, machine=Machine())
    with pytest.raises(TrainingError, match="does not exist"):
        predict_views(noise, [tmp_path / "nowhere"], changed, machine=Machine())


# --- Students --------------------------------------------------------------------------------------------------------


def test_each_face_comes_with_its_own_predictions_and_others_with_none(
    noise: Data, views: list[Views], changed: Augmentation
) -> None:
    pool, learn = all_training(noise), noise["val"]  # whose places in the pool are others than in the split
    found = mean_of(views)
    taught = 0
    for batch in ViewLoader(learn, pool, found, CPU, 5, seed=0).epoch(2, changed, 0.0):
        assert batch.teachers is not None
        assert batch.taught is not None
        for row, logits, has in zip(learn.rows[batch.rows], batch.teachers, batch.taught, strict=True):
            assert bool(has) == (row in found.rows)
            if has:
                [place] = np.flatnonzero(found.rows == row)
                assert torch.equal(logits, unpacked(torch.from_numpy(found.logits[1, [place]]))[0])
            taught += int(has)
    assert 0 < taught < len(learn.rows)


def test_a_student_sees_the_very_pictures_that_its_teachers_saw(
    noise: Data, views: list[Views], changed: Augmentation
) -> None:
    pool = all_training(noise)
    shown = view(torch.from_numpy(pool.images), 1, 0, changed)[:, None].float() / 255
    for batch in ViewLoader(pool, pool, views[0], CPU, 14, seed=0).epoch(2, changed, 0.0):
        seen = shown[batch.rows]
        one_way, mirrored = ((batch.faces == faces).all(3).all(2).all(1) for faces in (seen, seen.flip(3)))
        assert bool((one_way | mirrored).all())


@pytest.mark.parametrize("temperature", [1.0, 3.0])
@pytest.mark.parametrize("reduction", ["none", "batchmean"])
def test_the_distance_is_the_divergence_of_the_softened_heads(temperature: float, reduction: str) -> None:
    mine, theirs = torch.randn(2, 6, OFFICIAL, generator=torch.Generator().manual_seed(0))
    found = distance(mine, theirs, temperature, reduction)
    p, q = ((logits.double() / temperature).softmax(1) for logits in (theirs, mine))
    wanted = (p * (p / q).log()).sum(1) * temperature**2
    assert torch.allclose(found.double(), wanted if reduction == "none" else wanted.mean(), rtol=1e-5)


@pytest.mark.parametrize("votes", [0.0, 0.75])
def test_faces_without_predictions_learn_from_their_labels_alone(tiny: Settings, votes: float) -> None:
    settings = replace(tiny, votes=votes, distil=0.9)
    rng = torch.Generator().manual_seed(0)
    logits, teachers = torch.randn(2, 8, LOGITS, generator=rng)
    batch = Batch(torch.zeros(8, 1, 48, 48), torch.arange(8) % 7, torch.rand(8, 8, generator=rng), torch.arange(8))
    taught = torch.arange(8) < 3

    def part(rows: slice, **more: torch.Tensor) -> torch.Tensor:
        some = Batch(*(column[rows] for column in batch if column is not None))
        return loss_of(logits[rows], some._replace(**more), settings)

    mixed = loss_of(logits, batch._replace(teachers=teachers, taught=taught), settings)
    parts = 3 * part(slice(3), teachers=teachers[:3]) + 5 * part(slice(3, 8))
    assert float(mixed) == pytest.approx(float(parts) / 8, rel=1e-5)
    all_of_them = loss_of(logits, batch._replace(teachers=teachers, taught=torch.ones(8, dtype=torch.bool)), settings)
    assert float(all_of_them) == pytest.approx(float(part(slice(8), teachers=teachers)), rel=1e-5)


def test_a_student_comes_closer_to_its_teachers(
    noise: Data, teachers: list[Path], tiny: Settings, changed: Augmentation, tmp_path: Path
) -> None:
    [views] = predict_views(noise, teachers[:1], changed, machine=Machine(), count=2, everyone=True)
    settings = replace(tiny, epochs=4, views=views.digest, distil=1.0)  # the loss is the distance and nothing else
    rows = train(noise, tmp_path / "run", settings, machine=Machine(), views=views)
    assert 0 < rows[-1]["loss"] < rows[0]["loss"] / 2
    with pytest.raises(TrainingError, match="other views"):
        train(noise, tmp_path / "run", settings, machine=Machine(), resume=True)
    with pytest.raises(TrainingError, match=r"other settings \(views\)"):
        train(noise, tmp_path / "run", replace(settings, views=""), machine=Machine(), resume=True)


def test_a_student_learns_from_what_few_teachers_have_predicted_so_far(
    noise: Data, views: list[Views], tiny: Settings, tmp_path: Path
) -> None:
    together = mean_of(views)
    settings = replace(tiny, views=together.digest, mixup=0.2)
    rows = train(noise, tmp_path / "run", settings, machine=Machine(), views=together)
    assert len(rows) == settings.epochs
    assert all(np.isfinite(row["loss"]) for row in rows)


def test_a_student_is_not_trained_on_views_of_other_images(
    noise: Data, views: list[Views], tiny: Settings, tmp_path: Path
) -> None:
    other = {name: replace(split, images=split.images // 2) for name, split in noise.items()}
    with pytest.raises(TrainingError, match="other images"):
        train(other, tmp_path / "run", replace(tiny, views=views[0].digest), machine=Machine(), views=views[0])
    assert not (tmp_path / "run").exists()


# --- Older checkpoints -----------------------------------------------------------------------------------------------


def test_a_checkpoint_from_before_there_were_teachers_goes_on(noise: Data, tiny: Settings, tmp_path: Path) -> None:
    once = replace(tiny, epochs=1)
    train(noise, tmp_path, once, machine=Machine())
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    for later_field in ("held_out", "views", "distil", "init", "temperature"):
        del saved["settings"][later_field]
    write(tmp_path / CHECKPOINT, saved)
    assert settings_from(saved["settings"]) == once
    assert len(train(noise, tmp_path, once, machine=Machine(), resume=True)) == 1


def test_a_checkpoint_with_a_retired_setting_goes_on_where_that_did_nothing(
    noise: Data, tiny: Settings, tmp_path: Path
) -> None:
    once = replace(tiny, epochs=1)
    train(noise, tmp_path, once, machine=Machine())
    saved = load_checkpoint(tmp_path / CHECKPOINT)
    saved["settings"]["sam"] = 0.0
    write(tmp_path / CHECKPOINT, saved)
    assert len(train(noise, tmp_path, once, machine=Machine(), resume=True)) == 1
    saved["settings"]["sam"] = 0.1
    write(tmp_path / CHECKPOINT, saved)
    with pytest.raises(TrainingError, match=r"its setting sam is 0\.1, which this version of Mien no longer has"):
        train(noise, tmp_path, once, machine=Machine(), resume=True)
    saved["settings"] = {**saved["settings"], "sam": 0.0, "mystery": 1}
    write(tmp_path / CHECKPOINT, saved)
    with pytest.raises(TrainingError, match="its settings are not those of this version of Mien"):
        train(noise, tmp_path, once, machine=Machine(), resume=True)
