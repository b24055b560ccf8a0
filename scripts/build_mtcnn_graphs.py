"""Writes MTCNN's three networks, weights included, as ONNX files: `src/mien/models/{pnet,rnet,onet}.onnx`.

The layers are those of Zhang et al. 2016 (IEEE SPL 23(10), arXiv:1604.02878) as the `mtcnn` package builds them; the
weights come out of its wheel, whose files are lists of arrays in Keras' layouts. Whose they are, and what they may be
used for: src/mien/models/NOTICE.md.

With `--web FOLDER` it writes the networks into that folder as a browser runs them fastest: with PRelu nodes and without
padded channels. Their outputs differ by at most 1e-5 from those of the package's files.

Needs `pip install 'mien[train]' mtcnn==1.0.0`; TensorFlow is not needed.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Floats = NDArray[np.float32]

MODELS = Path(__file__).parents[1] / "src" / "mien" / "models"
SHA256 = {
    "pnet.lz4": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet.lz4": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet.lz4": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""The weight files of the `mtcnn` 1.0.0 wheel."""

BLOCK = 16  # the channels of one block of ONNX Runtime's layout with AVX-512 (8 with AVX2)
OPSET, IR_VERSION = 17, 8  # ONNX Runtime 1.13 reads them


def main() -> None:
    """Write the three files and print their SHA-256, which `mien.see.weights` holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--web", type=Path, metavar="FOLDER", help="write the browser's form into this folder instead")
    web = parser.parse_args().web
    if web:
        web.mkdir(parents=True, exist_ok=True)
    for build in (pnet, rnet, onet):
        path = (web or MODELS) / f"{build.__name__}.onnx"
        path.write_bytes(build(web=bool(web)).SerializeToString(deterministic=True))
        print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def read_weights(name: str, sha256: dict[str, str] = SHA256) -> list[Floats]:
    """The arrays of a weight file in the file's order; ValueError where its SHA-256 is another one."""
    spec = importlib.util.find_spec("mtcnn")  # looked up, not imported, which would import TensorFlow
    if not (spec and spec.origin):
        raise ModuleNotFoundError("the weights come out of a package: pip install mtcnn==1.0.0")
    content = (Path(spec.origin).parent / "assets" / "weights" / name).read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256[name]:
        raise ValueError(f"{name} is not the file of mtcnn 1.0.0: pip install --force-reinstall mtcnn==1.0.0")
    # Verified first, because the format is a pickle, which can run anything when it is loaded.
    arrays: list[Floats] = joblib.load(io.BytesIO(content))
    return arrays


class Features(NamedTuple):
    """A layer's output (n, channels, h, w), of which `mixing` (channels, c) makes the c channels of the paper."""

    tensor: str
    mixing: Floats


class Graph:
    """A graph that grows node by node; its methods add nodes and return the name of the tensor they give."""

    def __init__(self, name: str, web: bool) -> None:
        self.name, self.web = name, web
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.weights: Iterator[Floats] = iter(read_weights(f"{name}.lz4"))

    def add(self, op: str, *inputs: str | Floats, **attributes: Any) -> str:
        """One node; its inputs are names of tensors, or arrays that the file carries."""
        output = f"{op}_{len(self.nodes)}"
        names = [tensor if isinstance(tensor, str) else self._carry(tensor) for tensor in inputs]
        self.nodes.append(helper.make_node(op, names, [output], output, **attributes))
        return output

    def _carry(self, array: Floats) -> str:
        name = f"w{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
        return name

    def image(self) -> Features:
        """The input, RGB bytes (n, h, w, 3), as float32 (n, 3, h, w)."""
        x = self.add("Transpose", self.add("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        return Features(x, np.eye(3, dtype=np.float32))

    def layer(self, x: Features, scaled: bool = False) -> Features:
        """A convolution without padding and its PReLU; `scaled` folds (x - 127.5) / 128 of the image into it."""
        kernel, bias, slope = next(self.weights), next(self.weights), next(self.weights).reshape(-1)
        kernel = x.mixing @ kernel  # (size, size, channels in, channels out)
        if scaled:
            kernel = kernel / np.float32(128)
            bias = bias - kernel.reshape(-1, len(bias)).sum(0) * np.float32(127.5)
        if self.web:
            y = self.add("Conv", x.tensor, kernel.transpose(3, 2, 0, 1), bias)
            return Features(self.add("PRelu", y, slope[:, None, None]), np.eye(len(slope), dtype=np.float32))
        return self._blocked_layer(x.tensor, kernel, bias, slope)

    def _blocked_layer(self, x: str, kernel: Floats, bias: Floats, slope: Floats) -> Features:
        """A layer in the form that ONNX Runtime runs fastest on a CPU.

        PReLU of slope a is a·x + relu((1 - a)·x), each product a batch normalisation: a PRelu node would leave ONNX
        Runtime's blocked layout, which takes as long again as the convolutions. A layer whose channels, filled up with
        zeros, make whole blocks needs no reordering before pooling either.

        That sum needs a ≤ 1. The few channels with a > 1, the steep ones, all stand before a max pooling, and as their
        PReLU increases it may as well follow the pooling. So they come twice, as x (slope 1) and as relu(x) (slope 0),
        and the layer after the pooling takes a·x + (1 - a)·relu(x) of them.
        """
        count, steep = len(slope), np.flatnonzero(slope > 1)
        again = count + np.arange(len(steep))
        filled = -(-(count + len(steep)) // BLOCK) * BLOCK
        mixing = np.eye(filled, count, dtype=np.float32)
        mixing[steep, steep], mixing[again, steep] = slope[steep], 1 - slope[steep]
        slopes = np.zeros(filled, np.float32)
        slopes[:count] = np.where(slope > 1, 1, slope)
        copies = (mixing != 0).astype(np.float32).T  # which channel each of the filled ones is a copy of

        y = self.add("Conv", x, (kernel @ copies).transpose(3, 2, 0, 1), bias @ copies)
        rest = self.add("Relu", self._times(1 - slopes, y))
        return Features(self.add("Add", self._times(slopes, y), rest), mixing)

    def _times(self, factors: Floats, x: str) -> str:
        """Each channel times a number, as a batch normalisation."""
        one, zero = np.ones_like(factors), np.zeros_like(factors)
        return self.add("BatchNormalization", x, factors, zero, zero, one, epsilon=0.0)

    def pool(self, x: Features, size: int, padding: str = "VALID") -> Features:
        """Max pooling with stride 2; Keras' "same" is SAME_UPPER."""
        y = self.add("MaxPool", x.tensor, kernel_shape=[size, size], strides=[2, 2], auto_pad=padding)
        return x._replace(tensor=y)

    def dense(self, x: Features, height: int, width: int) -> str:
        """A dense layer and its PReLU, (n, c, h, w) to (n, out); it was trained on features in the order w, h, c."""
        kernel, bias, slope = next(self.weights), next(self.weights), next(self.weights)
        kernel = kernel.reshape(width, height, -1, len(bias)).transpose(2, 1, 0, 3).reshape(-1, len(bias))
        return self.add("PRelu", self.add("Gemm", self.add("Flatten", x.tensor), kernel, bias), slope)

    def heads(self) -> tuple[Floats, Floats]:
        """Kernel (..., channels, out) and bias (out,) of all heads in one layer: the face logit, then the others.

        The file has the two scores last; their softmax is the logistic function of their difference, the logit.
        """
        rest = list(self.weights)
        return logit_first(rest[::2]), logit_first(rest[1::2])

    def model(self, side: int | None, *out: int | str) -> onnx.ModelProto:
        """The model from `image` (n, side, side, 3), of any size where there is no side, to `predictions` (n, *out)."""
        self.nodes[-1].output[0] = "predictions"
        sides = (side, side) if side else ("h", "w")
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *sides, 3])
        predictions = helper.make_tensor_value_info("predictions", TensorProto.FLOAT, ["n", *out])
        graph = helper.make_graph(self.nodes, self.name, [image], [predictions], self.initialisers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def logit_first(parts: list[Floats]) -> Floats:
    """The heads' arrays side by side, the last one's two columns as their difference in front."""
    *others, scores = parts
    return np.concatenate([scores[..., 1:] - scores[..., :1], *others], -1)


def pnet(web: bool = False) -> onnx.ModelProto:
    """The proposal network: for every second pixel of an image, is the 12x12 cell that begins there a face?"""
    g = Graph("pnet", web)
    x = g.pool(g.layer(g.image(), scaled=True), 2, "SAME_UPPER")
    x = g.layer(g.layer(x))
    kernel, bias = g.heads()
    g.add("Conv", x.tensor, kernel.transpose(3, 2, 0, 1), bias)
    return g.model(None, 5, "rows", "columns")


def rnet(web: bool = False) -> onnx.ModelProto:
    """The refinement network: 24x24 patches."""
    g = Graph("rnet", web)
    x = g.pool(g.layer(g.image(), scaled=True), 3, "SAME_UPPER")
    x = g.pool(g.layer(x), 3)
    x = g.layer(x)
    g.add("Gemm", g.dense(x, 3, 3), *g.heads())
    return g.model(24, 5)


def onet(web: bool = False) -> onnx.ModelProto:
    """The output network: 48x48 patches, and landmarks too."""
    g = Graph("onet", web)
    x = g.pool(g.layer(g.image(), scaled=True), 3, "SAME_UPPER")
    x = g.pool(g.layer(x), 3)
    x = g.pool(g.layer(x), 2, "SAME_UPPER")
    x = g.layer(x)
    g.add("Gemm", g.dense(x, 3, 3), *g.heads())
    return g.model(48, 15)


if __name__ == "__main__":
    main()
