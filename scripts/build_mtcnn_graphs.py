"""Writes MTCNN's three networks as ONNX graphs without weights: `src/mien/models/{pnet,rnet,onet}.onnx`.

The layers are those of Zhang et al. 2016 (IEEE SPL 23(10), arXiv:1604.02878) as the `mtcnn` package builds them. Its
weight files are lists of arrays in Keras' layouts; the graphs declare these arrays, in that order and in those layouts,
as the external initialisers `w0`, `w1`, …, and everything that is done to them (transposing, padding, folding) is part
of the graph. ONNX Runtime is given the arrays when it opens a graph, and folds all of it away then.

Needs `pip install 'mien[train]'`, for onnx.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper

MODELS = Path(__file__).parents[1] / "src" / "mien" / "models"
BLOCK = 16  # the channels of one block of ONNX Runtime's layout with AVX-512 (8 with AVX2)
OPSET, IR_VERSION = 17, 8  # ONNX Runtime 1.13 reads them


def blocked(channels: int) -> int:
    """The channels rounded up to whole blocks: a layer that fills its blocks needs no reordering before pooling."""
    return -(-channels // BLOCK) * BLOCK


class Features(NamedTuple):
    """A layer's output, (n, blocked(channels), h, w): filled up with zeros and, where steep, laid out anew."""

    tensor: str
    channels: int  # as the next layer of the weight file counts them
    taken: str | None = None  # (blocked(channels), channels): what turns the next layer's kernel to suit that


class Graph:
    """A graph that grows node by node; its methods add nodes and return the name of the tensor they give."""

    def __init__(self, name: str):
        self.name = name
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []
        self.weights = 0

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """One node."""
        output = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], output, **attributes))
        return output

    def constant(self, value: ArrayLike) -> str:
        """A float32 constant that the graph carries itself."""
        return self._carry(np.asarray(value, np.float32))

    def shape(self, *sides: int) -> str:
        """A constant list of integers."""
        return self._carry(np.asarray(sides, np.int64))

    def _carry(self, value: NDArray[Any]) -> str:
        name = f"constant_{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        """The next array of the weight file."""
        name = f"w{self.weights}"
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="given when the graph is opened")
        self.initialisers.append(tensor)
        self.weights += 1
        return name

    def image(self) -> Features:
        """The input, RGB bytes (n, h, w, 3), as float32 (n, 3, h, w)."""
        x = self.add("Transpose", self.add("Cast", "image", to=TensorProto.FLOAT), perm=[0, 3, 1, 2])
        return Features(x, 3)

    def layer(self, x: Features, size: int, out: int, scaled: bool = False, steep: Sequence[int] = ()) -> Features:
        """A convolution without padding and its PReLU.

        Where the image is to be `scaled`, (x - 127.5) / 128, that is folded into kernel and bias. PReLU of slope a is
        a·x + relu((1 - a)·x), each product a batch normalisation: a PRelu node would leave ONNX Runtime's blocked
        layout, which takes as long again as the convolutions.

        That sum needs a ≤ 1. The few channels with a > 1, the `steep` ones, all stand before a max pooling, and as
        their PReLU increases it may as well follow the pooling. So they come twice, as x (slope 1) and as relu(x)
        (slope 0), and the layer after the pooling takes a·x + (1 - a)·relu(x) of them.
        """
        again = range(out, out + len(steep))
        spread, slopes, steepness = np.eye(out, blocked(out)), np.eye(out, blocked(out)), np.zeros(blocked(out))
        spread[steep, again], slopes[steep, steep], steepness[list(steep)] = 1, 0, 1

        kernel, bias = self.weight(size, size, x.channels, out), self.weight(out)
        if x.taken:
            kernel = self.add("MatMul", x.taken, kernel)
        if scaled:
            kernel = self.add("Div", kernel, self.constant(128))
            shift = self.add("ReduceSum", kernel, self.shape(0, 1, 2), keepdims=0)
            bias = self.add("Sub", bias, self.add("Mul", shift, self.constant(127.5)))
        kernel, bias = self.mapped(kernel, spread), self.mapped(bias, spread)
        y = self.add("Conv", x.tensor, self.add("Transpose", kernel, perm=[3, 2, 0, 1]), bias)

        slope = self.add("Reshape", self.weight(1, 1, out), self.shape(out))
        factor = self.add("Add", self.mapped(slope, slopes), self.constant(steepness))
        rest = self.add("Sub", self.constant(1), factor)
        y = self.add("Add", self.times(factor, y, out), self.add("Relu", self.times(rest, y, out)))
        return Features(y, out, self.taken(slope, out, steep))

    def mapped(self, tensor: str, matrix: NDArray[np.float64]) -> str:
        """The last axis of a constant times a matrix."""
        same = matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
        return tensor if same else self.add("MatMul", tensor, self.constant(matrix))

    def times(self, factor: str, x: str, channels: int) -> str:
        """Each channel times a number, as a batch normalisation."""
        one, zero = self.constant(np.ones(blocked(channels))), self.constant(np.zeros(blocked(channels)))
        return self.add("BatchNormalization", x, factor, zero, zero, one, epsilon=0.0)

    def taken(self, slope: str, channels: int, steep: Sequence[int]) -> str | None:
        """`Features.taken`: 1 of each channel; of a steep one the slope a of x and 1 - a of relu(x)."""
        if not steep and channels == blocked(channels):
            return None
        again = range(channels, channels + len(steep))
        fixed, by_slope = np.eye(blocked(channels), channels), np.zeros((blocked(channels), channels))
        fixed[steep, steep], by_slope[steep, steep] = 0, 1
        fixed[again, steep], by_slope[again, steep] = 1, -1
        return self.add("Add", self.constant(fixed), self.add("Mul", self.constant(by_slope), slope))

    def pool(self, x: Features, size: int, padding: str = "VALID") -> Features:
        """Max pooling with stride 2; Keras' "same" is SAME_UPPER."""
        y = self.add("MaxPool", x.tensor, kernel_shape=[size, size], strides=[2, 2], auto_pad=padding)
        return x._replace(tensor=y)

    def dense(self, x: Features, height: int, width: int, out: int) -> str:
        """A dense layer and its PReLU: (n, c, h, w) to (n, out).

        It was trained on features in the order w, h, c. To turn its kernel about costs nothing at run time.
        """
        kernel = self.weight(width * height * x.channels, out)
        kernel = self.add("Reshape", kernel, self.shape(width, height, x.channels, out))
        kernel = self.add("Reshape", self.add("Transpose", kernel, perm=[2, 1, 0, 3]), self.shape(-1, out))
        y = self.add("Gemm", self.add("Flatten", x.tensor), kernel, self.weight(out))
        return self.add("PRelu", y, self.weight(out))

    def heads(self, channels: int, *outs: int, grid: Sequence[int] = ()) -> tuple[str, str]:
        """Kernel (*grid, channels, 1 + sum(outs)) and bias of all heads in one layer: the face logit, then the others.

        The file has the two scores last; their softmax is the logistic function of their difference, the logit.
        """
        pairs = [(self.weight(*grid, channels, out), self.weight(out)) for out in (*outs, 2)]
        kernels, biases = zip(*pairs, strict=True)
        return self._logit_first(kernels, axis=len(grid) + 1), self._logit_first(biases, axis=0)

    def _logit_first(self, parts: Sequence[str], axis: int) -> str:
        no, yes = (self.add("Gather", parts[-1], self.shape(side), axis=axis) for side in (0, 1))
        return self.add("Concat", self.add("Sub", yes, no), *parts[:-1], axis=axis)

    def model(self, side: int | None, *out: int | str) -> onnx.ModelProto:
        """The model from `image` (n, side, side, 3), of any size where there is no side, to `verdicts` (n, *out)."""
        self.nodes[-1].output[0] = "verdicts"
        sides = (side, side) if side else ("h", "w")
        image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", *sides, 3])
        verdicts = helper.make_tensor_value_info("verdicts", TensorProto.FLOAT, ["n", *out])
        graph = helper.make_graph(self.nodes, self.name, [image], [verdicts], self.initialisers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def pnet() -> onnx.ModelProto:
    """The proposal network: for every second pixel of an image, is the 12x12 cell that begins there a face?"""
    g = Graph("pnet")
    x = g.pool(g.layer(g.image(), 3, 10, scaled=True, steep=[2]), 2, "SAME_UPPER")
    x = g.layer(g.layer(x, 3, 16), 3, 32)
    kernel, bias = g.heads(32, 4, grid=(1, 1))
    g.add("Conv", x.tensor, g.add("Transpose", kernel, perm=[3, 2, 0, 1]), bias)
    return g.model(None, 5, "rows", "columns")


def rnet() -> onnx.ModelProto:
    """The refinement network: 24x24 patches."""
    g = Graph("rnet")
    x = g.pool(g.layer(g.image(), 3, 28, scaled=True, steep=[0, 16]), 3, "SAME_UPPER")
    x = g.pool(g.layer(x, 3, 48), 3)
    x = g.layer(x, 2, 64)
    g.add("Gemm", g.dense(x, 3, 3, 128), *g.heads(128, 4))
    return g.model(24, 5)


def onet() -> onnx.ModelProto:
    """The output network: 48x48 patches, and landmarks too."""
    g = Graph("onet")
    x = g.pool(g.layer(g.image(), 3, 32, scaled=True), 3, "SAME_UPPER")
    x = g.pool(g.layer(x, 3, 64), 3)
    x = g.pool(g.layer(x, 3, 64), 2, "SAME_UPPER")
    x = g.layer(x, 2, 128)
    g.add("Gemm", g.dense(x, 3, 3, 256), *g.heads(256, 4, 10))
    return g.model(48, 15)


def main() -> None:
    """Write the three graphs into the package."""
    for build in (pnet, rnet, onet):
        path = MODELS / f"{build.__name__}.onnx"
        path.write_bytes(build().SerializeToString(deterministic=True))
        print(f"{path.name}: {path.stat().st_size:,} bytes, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
