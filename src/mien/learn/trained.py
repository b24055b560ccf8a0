"""A trained network, read from what a run kept or from a model file that was exported from it."""

from __future__ import annotations

import copy
import json
import math
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.errors import ModelError, TrainingError
from mien.learn.calibrate import Calibration
from mien.learn.checkpoint import WEIGHTS, digest_of, load_checkpoint
from mien.learn.model import FERPLUS, OFFICIAL, build
from mien.learn.settings import Settings, settings_from

if TYPE_CHECKING:
    import onnx

IN_16_BITS = " in 16 bits"  # what `export` adds to the name of a weight that it stores so


class Trained(NamedTuple):
    """A network and how it was trained; `digest` names the file that it comes from."""

    net: nn.Sequential
    settings: Settings
    epoch: dict[str, float]  # the row of the history that was kept
    calibration: list[Calibration]  # one for each head
    digest: str
    learned: str  # digest of the images that it learned from; empty where its maker did not say
    head: str = "official"  # the one that readers use by default

    def may_have_seen(self, held_out: str, learned: str) -> bool:
        """Whether it may have learned from what is held out as `held_out` says, where `learned` names the other images.

        No network learns from PublicTest. Of other images only a network that held out the same ones has certainly not
        learned.
        """
        return held_out != "public" and (held_out, learned) != (self.settings.held_out, self.learned)


def load_trained(source: Path) -> Trained:
    """The network of a run's folder or of a model file, on the CPU, in evaluation mode.

    Raises TrainingError for a run, and ModelError for a file, that is missing, broken or of other code.
    """
    exported = source.suffix.lower() == ".onnx"
    if source.is_file() and not exported:
        raise TrainingError(f"{source} is neither the folder of a run nor an ONNX file: name one of these")
    trained = _from_onnx(source) if exported else _from_run(source)
    if not all(weights.isfinite().all() for weights in trained.net.state_dict().values()):
        error = ModelError if exported else TrainingError
        raise error(f"{source} holds weights that are NaN or infinite: train it again, with a lower learning rate")
    return trained


def _from_run(run: Path) -> Trained:
    saved = load_checkpoint(run / WEIGHTS)
    if not saved.keys() >= {"model", "epoch"}:
        raise TrainingError(f"{run / WEIGHTS} does not hold the weights of a run: train again")
    settings = settings_from(saved["settings"])
    net = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
    try:
        net.load_state_dict(saved["model"])
    except (RuntimeError, TypeError, AttributeError):
        raise TrainingError(f"{run} was trained by other code: its weights do not fit, train it again") from None
    try:
        calibration = _calibration(saved.get("calibration", []), settings)
    except (KeyError, TypeError, ValueError):
        raise TrainingError(f"{run / WEIGHTS} holds a damaged calibration: train again") from None
    digest = digest_of(np.fromfile(run / WEIGHTS, np.uint8))
    return Trained(net.eval(), settings, saved["epoch"], calibration, digest, str(saved.get("learned", "")))


def _from_onnx(file: Path) -> Trained:
    import onnx  # loaded here, as ONNX Runtime is: a machine that begins with random weights needs neither

    from mien.see.weights import open_session

    open_session(file)  # says in one line what is wrong with a file that is missing, truncated or not ONNX
    content = file.read_bytes()
    model = onnx.load_from_string(content)
    facts = {fact.key: fact.value for fact in model.metadata_props}
    try:
        settings = settings_from(json.loads(facts["settings"]))
        epoch = json.loads(facts["epoch"])
        if json.loads(facts.get("others", "[]")):
            raise TrainingError("it is the mean of several runs, which this version of Mien no longer has")
        calibration = _calibration(list(json.loads(facts["calibration"]).values()), settings)
        net = build(settings.network, votes=settings.votes > 0, dropout=settings.dropout)
        _fill(net, _weights(model.graph))
    except TrainingError as error:
        raise ModelError(f"{file} holds no network that can be trained: {error}") from None
    except (KeyError, ValueError, TypeError, AttributeError, RuntimeError):
        raise ModelError(f"{file} holds no network that can be trained: use one that Mien exported") from None
    digest = digest_of(np.frombuffer(content, np.uint8))
    head = facts.get("head", "official")
    return Trained(net.eval(), settings, epoch, calibration, digest, facts.get("learned", ""), head)


def _calibration(fitted: list[dict[str, Any]], settings: Settings) -> list[Calibration]:
    """That of each head, as read from a file; an interrupted run has none yet.

    Raises KeyError, TypeError or ValueError where it is damaged or of other heads.
    """
    heads = (OFFICIAL, FERPLUS) if settings.votes else (OFFICIAL,)
    if not fitted:
        return [Calibration.none(head) for head in heads]
    found = [Calibration(float(each["temperature"]), list(map(float, each["shifts"]))) for each in fitted]
    if tuple(len(each.shifts) for each in found) != heads:
        raise ValueError("a calibration of other heads")
    return found


def _weights(graph: onnx.GraphProto) -> list[tuple[NDArray[np.float32], ...]]:
    """Weight and bias of each convolution and dense layer, in the order in which they run."""
    from onnx import numpy_helper

    arrays = {
        array.name.removesuffix(IN_16_BITS): numpy_helper.to_array(array).astype(np.float32)
        for array in graph.initializer
    }
    layers = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    return [tuple(arrays[name] for name in node.input[1:]) for node in layers]


def _fill(net: nn.Module, weights: list[tuple[NDArray[np.float32], ...]]) -> None:
    """Put exported weights into a network whose modules stand in the order in which they run.

    The export has folded batch normalisation into the convolution before it; what is left of it is the bias.
    """
    layers = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    norms = {id(conv): norm for conv, norm in _normalised(net)}
    with torch.no_grad():
        for layer, (weight, bias) in zip(layers, weights, strict=True):
            if layer.weight.shape != weight.shape:
                raise ValueError("weights of another network")
            layer.weight.copy_(torch.from_numpy(weight))
            norm = norms.get(id(layer))
            target = layer.bias if norm is None else norm.bias
            assert target is not None
            target.copy_(torch.from_numpy(bias))
            if norm is not None:
                norm.weight.fill_(1.0)  # the first of each block is zero at random start
                norm.running_var.fill_(1 - norm.eps)  # type: ignore[union-attr]


def _normalised(net: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions that a batch normalisation follows, each with it."""
    return [
        (conv, norm)
        for conv, norm in pairwise(net.modules())
        if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    ]


def unfold_batch_norm(net: nn.Module, faces: Tensor) -> nn.Module:
    """A copy of a network, with the same outputs, whose batch normalisation works again after export folded it away.

    `faces` (n, 1, 48, 48) in [0, 1] show each normalisation its mean and variance. Convolutions are scaled to the norm
    of new ones: normalisation takes the scale out again, but a learning rate has more effect on small weights than on
    large ones (van Laarhoven 2017, arXiv:1706.05350, section 2).
    """
    net = copy.deepcopy(net).eval()
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def note(norm: nn.Module, inputs: tuple[Tensor]) -> None:
        seen[norm] = torch.var_mean(inputs[0], (0, 2, 3), correction=0)

    hooks = [norm.register_forward_pre_hook(note) for _, norm in _normalised(net)]
    with torch.no_grad():
        net(faces)
        for hook in hooks:
            hook.remove()
        for conv, norm in _normalised(net):
            new = math.sqrt(conv.out_channels / 3)  # the norm with which PyTorch begins: sqrt(1 / 3) a filter
            scale = new / float(conv.weight.norm())
            conv.weight.mul_(scale)
            _rescale(norm, *seen[norm], scale)
    return net


def _rescale(norm: nn.BatchNorm2d, variance: Tensor, mean: Tensor, scale: float) -> None:
    """Give a normalisation this variance and mean, for inputs scaled by `scale`, and the outputs that it had before."""
    assert norm.running_mean is not None and norm.running_var is not None
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    norm.bias.add_(factor * (mean - norm.running_mean))
    norm.running_mean.copy_(scale * mean)
    norm.running_var.copy_(scale**2 * variance)
    norm.weight.copy_(factor * (norm.running_var + norm.eps).sqrt() / scale)
