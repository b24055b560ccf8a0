"""`Settings`: everything that decides what a run learns; the recipes; how the command line changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

from mien.errors import TrainingError

FOLDS = ("0", "1", "2", "3", "4")


class SettingsError(TrainingError):
    """A run cannot learn with its settings; `instead` names those that would do."""

    def __init__(self, message: str, **instead: float) -> None:
        super().__init__(message)
        self.instead = instead


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How much a face may be changed; zero leaves that change out."""

    rotation: float = 15.0  # degrees either way
    zoom: float = 0.25  # up to 1.25 times, down to 0.8
    shift: float = 0.12  # of the side, either way
    light: float = 0.0  # contrast, brightness and gamma
    erase: float = 0.0  # share of faces with a covered rectangle
    degrade: float = 0.0  # share of faces for each of blur, shrinking, noise and JPEG


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that decides what a run learns; saved beside every checkpoint."""

    network: str = "baseline"  # a name of model.NETWORKS
    epochs: int = 40
    batch: int = 128
    optimiser: str = "adam"  # adam (AdamW, decoupled decay) or sgd (with Nesterov momentum)
    learning_rate: float = 2e-3  # at its highest, after the warm-up
    weight_decay: float = 5e-4  # of convolution and dense weights, not of biases and normalisation
    warmup: float = 2.0  # epochs
    dropout: float = 0.3
    smoothing: float = 0.1  # of the labels
    oversample: float = 0.4  # 0: classes as they are; 1: every class as often as the largest
    mixup: float = 0.0  # alpha of the beta distribution (Zhang et al. 2018, arXiv:1710.09412); 0 in the last tenth
    votes: float = 0.0  # weight of the FER+ head; 0: no such head
    ema: float = 0.999  # decay of the averaged weights, which are the ones validated and kept
    patience: int = 10  # epochs without a lower validation loss before it stops; 0: never, and keep the last
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)
    # The fields below came later. Their defaults do what was done before, so that older checkpoints can be resumed.
    held_out: str = "val"  # validated on, not learned from: val, public (PublicTest), or one of the folds 0 to 4
    views: str = ""  # digest of the views that a student learns from; such a run ignores `augmentation`
    distil: float = 0.9  # weight of the teachers in the loss; the labels have the rest
    init: str = ""  # digest of the model whose weights it begins with; empty: random weights
    temperature: float = 3.0  # divides the logits of student and teachers before they are compared


STUDENT = Settings(
    network="plain-s",
    epochs=100,
    optimiser="sgd",
    learning_rate=0.1,
    dropout=0.2,
    oversample=0.25,
    votes=0.75,
    patience=0,  # the last epoch is kept: nothing is chosen, so the run can learn from all of Training
    held_out="public",
    temperature=1.0,  # for its teachers' predictions, which are soft as they are
    augmentation=Augmentation(light=0.2, erase=0.15, degrade=0.06),
)

RECIPES = {
    "baseline": Settings(
        epochs=60,
        learning_rate=3e-3,
        weight_decay=0.12,  # decoupled from the gradient; with 5e-4 the network memorised its faces
        oversample=0.2,
        augmentation=Augmentation(light=0.2, erase=0.25, degrade=0.1),
    ),
    "student-s": STUDENT,
    "student-m": replace(STUDENT, network="resnet-m", epochs=90),
    "teacher": Settings(
        network="resnet-18",
        epochs=100,
        batch=512,
        optimiser="sgd",
        learning_rate=0.2,
        warmup=5.0,
        dropout=0.2,
        oversample=0.25,
        mixup=0.4,
        votes=0.5,
        patience=0,
        augmentation=Augmentation(light=0.2, erase=0.25, degrade=0.06),  # as in the students' views
    ),
}


def members_of(settings: Settings, members: str) -> dict[str, Settings]:
    """The settings of each member of an ensemble such as "resnet-18:0,vgg-13:1": a network and the fold held out."""
    found = {}
    for member in members.split(","):
        network, _, fold = member.strip().partition(":")
        if not network or fold not in FOLDS:
            raise TrainingError(f"there is no member {member!r}: write NETWORK:FOLD, as in resnet-18:0,vgg-13:1")
        if f"{network}-{fold}" in found:
            raise TrainingError(f"the member {network}:{fold} is named twice: name each once")
        found[f"{network}-{fold}"] = replace(settings, network=network, held_out=fold)
    return found


RETIRED = {"sam": 0.0}
"""Settings that older checkpoints and model files still name, with the value at which they did nothing."""


def settings_from(saved: Mapping[str, Any]) -> Settings:
    """The settings in a checkpoint or a model file of this version or an older one.

    A setting that did not exist yet gets its default; one that has been retired must have done nothing. Raises
    TrainingError.
    """
    try:
        saved = dict(saved)
        for name, neutral in RETIRED.items():
            if (value := saved.pop(name, neutral)) != neutral:
                raise TrainingError(f"its setting {name} is {value!r}, which this version of Mien no longer has")
        settings = Settings(**{**saved, "augmentation": Augmentation(**saved["augmentation"])})
    except (KeyError, TypeError, ValueError):
        raise TrainingError("its settings are not those of this version of Mien") from None
    for found, usual in ((settings, Settings()), (settings.augmentation, Augmentation())):
        for name, value in ((each.name, getattr(found, each.name)) for each in fields(found)):
            kind = type(getattr(usual, name))
            if not isinstance(value, (int, float) if kind is float else kind):
                raise TrainingError(f"its setting {name} is {value!r}, which this version of Mien does not know")
    return settings


RANGES = {
    "epochs": (1, 10**6),
    "batch": (2, 10**6),
    "learning_rate": (1e-9, 1000),
    "weight_decay": (0, 1000),
    "warmup": (0, 10**6),
    "dropout": (0, 0.9),
    "smoothing": (0, 0.9),
    "oversample": (0, 1),
    "mixup": (0, 1000),
    "votes": (0, 1000),
    "ema": (0, 1),
    "patience": (0, 10**6),
    "seed": (0, 10**9),
    "rotation": (0, 180),
    "zoom": (0, 4),
    "shift": (0, 1),
    "light": (0, 0.9),
    "erase": (0, 1),
    "degrade": (0, 1),
    "distil": (0, 1),
    "temperature": (1e-3, 1000),
}
"""The lowest and the highest value of each setting that is a number."""


def settings_of(recipe: str, changes: Sequence[str] = ()) -> Settings:
    """The settings of a recipe with changes such as "epochs=20" or "augmentation.rotation=10"."""
    if recipe not in RECIPES:
        raise TrainingError(f"there is no recipe {recipe!r}: choose one of {', '.join(RECIPES)}")
    settings = RECIPES[recipe]
    for change in changes:
        name, _, value = change.partition("=")
        settings = _changed(settings, name.strip().split("."), value.strip(), change)
    return settings


def _changed(settings: Any, names: list[str], value: str, change: str) -> Any:
    choices = [each.name for each in fields(settings)]
    if names[0] not in choices:
        raise TrainingError(f"cannot set {change!r}: choose one of {', '.join(choices)}")
    old = getattr(settings, names[0])
    if is_dataclass(old) != (len(names) == 2):
        raise TrainingError(f"cannot set {change!r}: write it as epochs=20 or augmentation.rotation=10")
    try:
        new = _changed(old, names[1:], value, change) if is_dataclass(old) else type(old)(value)
    except ValueError:
        raise TrainingError(f"cannot set {change!r}: {names[0]} takes a value such as {old}") from None
    if isinstance(new, int | float):
        low, high = RANGES[names[0]]
        if not low <= new <= high:
            raise TrainingError(f"cannot set {change!r}: {names[0]} lies between {low:g} and {high:g}")
    return replace(settings, **{names[0]: new})
