"""The same net and the same training step in PyTorch, on the CPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from model.arithmetic.qformat import PIXELS
from model.layers import Conv, Dense, Pool, ReLU, Sigmoid
from model.net.network import Network

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
"""Orders of an image batch in memory: (N, C, H, W) and (N, H, W, C)."""


class Twin:
    """A net of ours in PyTorch: the same layers with the same weights, in float32.

    Parameters
    ----------
    network : Network
        Of convolutions, poolings, dense layers, ReLUs and sigmoids.
    images : ndarray of uint8, (N, H, W, C)
    labels : ndarray of int, (N,)
        The batch that every step learns; it lies ready, as floats in the layout.
    layout : str
        One of `LAYOUTS`.
    compiled : bool
        Whether `torch.compile` makes one program of the net, which it does in the first step.
    """

    def __init__(self, network: Network, images, labels, layout: str, compiled: bool = False):
        module = nn.Sequential(*map(twin, network.layers)).to(memory_format=LAYOUTS[layout])
        self.parameters = list(module.parameters())
        torch.compiler.reset()  # or the programs of earlier nets count against a limit
        self.module = torch.compile(module) if compiled else module
        pixels = torch.from_numpy(images.transpose(0, 3, 1, 2) * np.float32(2.0**-PIXELS.frac))
        self.images = pixels.contiguous(memory_format=LAYOUTS[layout])
        self.labels = torch.from_numpy(labels)

    def backward(self) -> torch.Tensor:
        """The mean loss of the batch; leaves the gradients with the parameters."""
        for parameter in self.parameters:
            parameter.grad = None
        loss = nn.functional.cross_entropy(self.module(self.images), self.labels)
        loss.backward()
        return loss

    def stepper(self, rate: float, momentum: float) -> Callable[[], None]:
        """A function that does one step of training."""
        optimiser = torch.optim.SGD(self.parameters, rate, momentum, fused=True)

        def step():
            self.backward()
            optimiser.step()

        return step

    def gradient(self) -> tuple[float, np.ndarray]:
        """Mean loss and its gradient, in the order of our `Network.vector`."""
        loss = self.backward().item()
        parts = []
        for parameter in self.parameters:
            values = parameter.grad.numpy()
            # (C_out, C_in, r_h, r_w) or (outputs, inputs), where ours have the output last
            parts.append(values.transpose(2, 3, 1, 0) if values.ndim == 4 else values.T)
        return loss, np.concatenate([part.ravel() for part in parts])


class Flatten(nn.Module):
    """Images as vectors in raster order, channels last: free if they lie so already."""

    def forward(self, x):
        """From (N, C, H, W) to (N, H * W * C)."""
        return x.permute(0, 2, 3, 1).flatten(1)


class InPlace(nn.Module):
    """A sigmoid that overwrites its input, as the others need it no more."""

    def forward(self, x):
        """Any shape."""
        return torch.sigmoid_(x)


def twin(layer) -> nn.Module:
    """A layer in PyTorch, with the same parameters."""
    if isinstance(layer, ReLU):
        return nn.ReLU(inplace=True)
    if isinstance(layer, Sigmoid):
        return InPlace()
    if isinstance(layer, Pool):
        pool = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}[layer.mode]
        return pool(layer.geometry.kernel, layer.geometry.stride, sides(layer.geometry))
    if isinstance(layer, Conv):
        geometry = layer.geometry
        module = nn.Conv2d(
            layer.in_shape[2],
            layer.channels,
            geometry.kernel,
            geometry.stride,
            sides(geometry),
            geometry.dilation,
            layer.groups,
        )
        return filled(module, module, layer.params["weights"].transpose(3, 2, 0, 1), layer.params["bias"])
    if isinstance(layer, Dense):
        linear = nn.Linear(*layer.params["weights"].shape)
        return filled(
            nn.Sequential(Flatten(), linear), linear, layer.params["weights"].T, layer.params["bias"]
        )
    raise ValueError(f"layer {layer.name!r}: the benchmark knows no {layer.kind} in PyTorch")


def sides(geometry) -> tuple[int, int]:
    """Padding at the top and bottom, and at the left and right."""
    if any(before != after for before, after in geometry.padding):
        raise ValueError(f"PyTorch pads both sides alike, not {geometry.padding}")
    return tuple(before for before, _ in geometry.padding)


def filled(module: nn.Module, inner: nn.Module, weights, bias) -> nn.Module:
    """`module`, after its `inner` one has got copies of our parameters."""
    with torch.no_grad():
        inner.weight.copy_(torch.from_numpy(np.ascontiguousarray(weights)))
        inner.bias.copy_(torch.from_numpy(bias))
    return module
