"""The networks, whole: a gray face in [0, 1] goes in, logits come out."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from mien.errors import TrainingError
from mien.labels import EMOTIONS

OFFICIAL = len(EMOTIONS)  # logits of FER2013's own labels
FERPLUS = OFFICIAL + 1  # logits of the FER+ votes: the seven emotions, then contempt


class ConvBlock(nn.Sequential):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class SqueezeExcite(nn.Module):
    """Weights each channel by a summary of all channels over the whole face (Hu et al. 2018, arXiv:1709.01507)."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) → the same shape."""
        return x * self.excite(F.relu(self.squeeze(x.mean((2, 3), keepdim=True)))).sigmoid()


class Residual(nn.Module):
    """Two convolutions and a shortcut around them (He et al. 2016, arXiv:1512.03385, figure 2)."""

    def __init__(self, channels_in: int, channels_out: int, stride: int, attention: bool = False) -> None:
        super().__init__()
        self.first = ConvBlock(channels_in, channels_out, stride=stride)
        norm = nn.BatchNorm2d(channels_out)
        self.second = nn.Sequential(nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False), norm)
        nn.init.zeros_(norm.weight)  # each block begins as its shortcut, which lets deep nets start fast
        self.attention = SqueezeExcite(channels_out) if attention else nn.Identity()
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or channels_in != channels_out:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                nn.Conv2d(channels_in, channels_out, 1, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels_in, h, w) → (n, channels_out, h / stride, w / stride)."""
        return F.relu(self.attention(self.second(self.first(x))) + self.shortcut(x), inplace=True)


def plain(
    widths: tuple[int, ...], depths: tuple[int, ...], dense: tuple[int, ...], outputs: int, dropout: float
) -> nn.Sequential:
    """Stages of convolutions with max pooling between them, global average pooling, dense layers.

    The stem is 5×5 with stride 2: on a CPU it costs a third of a 3×3 stem at full size and its batch normalisation.
    """
    layers: list[nn.Module] = [ConvBlock(1, widths[0], kernel=5, stride=2)]
    channels = widths[0]
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        layers += [nn.MaxPool2d(2)] if stage else []
        for _ in range(depth):
            layers.append(ConvBlock(channels, width))
            channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout)]
    for width in dense:
        layers += [nn.Linear(channels, width), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        channels = width
    return nn.Sequential(*layers, nn.Linear(channels, outputs))


def vgg(widths: tuple[int, ...], outputs: int, dropout: float) -> nn.Sequential:
    """Pairs of convolutions, each pair at half the size of the one before (Simonyan & Zisserman 2015, arXiv:1409.1556).

    Batch normalisation and global pooling stand in for the paper's dense layers.
    """
    layers: list[nn.Module] = []
    for channels, width in zip((1, *widths), widths, strict=False):
        layers += [ConvBlock(channels, width), ConvBlock(width, width), nn.MaxPool2d(2)]
    layers[-1] = nn.AdaptiveAvgPool2d(1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(dropout), nn.Linear(widths[-1], outputs))


def resnet(
    widths: tuple[int, ...],
    blocks: tuple[int, ...],
    outputs: int,
    dropout: float,
    *,
    stem: tuple[int, int] = (3, 1),
    attention: bool = False,
) -> nn.Sequential:
    """Stages of residual blocks, each half the size of the one before, after a `stem` of so large a kernel and stride.

    The stem keeps all 48×48 places where a GPU can pay for them: a face here has no more.
    """
    kernel, stride = stem
    layers: list[nn.Module] = [ConvBlock(1, widths[0], kernel, stride)]
    channels = widths[0]
    for stage, (width, count) in enumerate(zip(widths, blocks, strict=True)):
        for block in range(count):
            layers.append(Residual(channels, width, 2 if stage and not block else 1, attention))
            channels = width
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(dropout), nn.Linear(channels, outputs)]
    return nn.Sequential(*layers, *head)


NETWORKS: dict[str, Callable[[int, float], nn.Sequential]] = {
    # For one CPU thread; multiply-adds and milliseconds of a quiet Zen 3 core in ONNX Runtime: 29.7 M and 0.7 ms for
    # plain-s, 88.9 M and 1.9 ms for resnet-m.
    "baseline": lambda *end: plain((40, 80, 160, 320), (1, 2, 2, 2), (128,), *end),
    "plain-s": lambda *end: plain((32, 64, 128, 256), (1, 2, 2, 2), (), *end),
    "resnet-m": lambda *end: resnet((32, 64, 128, 256), (2, 3, 3, 1), *end, stem=(5, 2)),
    # Teachers that a CPU can carry: three quarters of ResNet-18's width after a stem of stride 2, 175 M multiply-adds.
    "resnet-18-slim": lambda *end: resnet((48, 96, 192, 384), (2, 2, 2, 2), *end, stem=(5, 2)),
    # For a GPU: teachers of several kinds, which make different errors.
    "vgg-13": lambda *end: vgg((64, 128, 256, 512, 512), *end),
    "resnet-18": lambda *end: resnet((64, 128, 256, 512), (2, 2, 2, 2), *end),
    "se-resnet-18": lambda *end: resnet((64, 128, 256, 512), (2, 2, 2, 2), *end, attention=True),
    "resnet-34": lambda *end: resnet((64, 128, 256, 512), (3, 4, 6, 3), *end),
    "wide-resnet": lambda *end: resnet((80, 160, 320), (2, 2, 2), *end),  # few layers, wide at full size
}


def build(name: str, *, votes: bool, dropout: float) -> nn.Sequential:
    """The network `name`: (n, 1, 48, 48) float in [0, 1] → (n, 7) logits, or (n, 15) with the FER+ head."""
    check_network(name)
    return NETWORKS[name](OFFICIAL + FERPLUS if votes else OFFICIAL, dropout)


def check_network(name: str) -> None:
    """Raise TrainingError where there is no network of that name."""
    if name not in NETWORKS:
        raise TrainingError(f"there is no network {name!r}: choose one of {', '.join(NETWORKS)}")
