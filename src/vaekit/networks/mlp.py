"""The multilayer perceptron, between events of any shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from vaekit.arguments import require_maker
from vaekit.errors import ShapeError
from vaekit.networks.inputs import checked, way_out
from vaekit.networks.linear import Linear
from vaekit.shapes import Shape, as_shape, numel


class MLP(nn.Module):
    """Fully connected layers between the given widths, with an activation after every layer but the last.

    Several inputs (data and context) are flattened and concatenated.

    Arguments:
        inputs: the width, or shape, of one input example.
        outputs: the next width; the last of all widths may be a shape, into which the output is folded.
        widths: further widths, so that `MLP(784, 400, 20)` reads in order.
        hidden: widths put before the last one, so that `MLP(784, 20, hidden=(400,))` is the same network.
        activation: makes the activation module.
        output_activation: makes a module put after the last layer, as nn.Sigmoid; None leaves the output linear.
        initial_deviation: start all weights and biases as normal noise of this deviation; None leaves torch's own start.
        context: the total width of further inputs.

    Raises:
        ConfigError: if `activation` makes no module; in use, for inputs that are no floats of the weights' precision.
        ShapeError: in use, if the inputs have another total width, or a context not one vector for each example.

    Example:
        >>> import torch
        >>> import vaekit as vk
        >>> vk.networks.MLP(2, 400, (1, 28, 28))(torch.zeros(5, 2)).shape
        torch.Size([5, 1, 28, 28])
    """

    def __init__(
        self,
        inputs: int | Shape,
        outputs: int | Shape,
        *widths: int | Shape,
        hidden: Sequence[int] = (),
        activation: Callable[[], nn.Module] = nn.ReLU,
        output_activation: Callable[[], nn.Module] | None = None,
        initial_deviation: float | None = None,
        context: int = 0,
    ) -> None:
        super().__init__()
        require_maker("activation", activation, "nn.ReLU")
        self.inputs, self.outputs, self.widths = inputs, outputs, widths
        self.hidden, self.activation, self.context = tuple(hidden), activation, context
        *between, last = map(as_shape, (outputs, *widths))
        self.width, self.output_shape = numel(inputs) + context, last
        self.output_activation, self.initial_deviation = output_activation, initial_deviation
        self.layers = nn.Sequential(*_layers([self.width, *map(numel, between), *hidden, numel(last)], activation))
        if output_activation is not None:
            self.layers.append(output_activation())
        if initial_deviation is not None:
            for parameter in self.parameters():
                nn.init.normal_(parameter, std=initial_deviation)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map inputs, each of shape (B, ...), to shape (B, *output_shape)."""
        parts = [part.flatten(1) for part in checked(self, inputs, cast(Linear, self.layers[0]).weight)]
        x = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
        if x.shape[1] != self.width:
            raise ShapeError(
                f"MLP was built for {self.width} input features and got {x.shape[1]} (inputs of shape "
                f"{[tuple(i.shape[1:]) for i in inputs]}). "
                + way_out(self, inputs, "Give the data's width first, and the context's as `context`.")
            )
        output: Tensor = self.layers(x)
        return output if len(self.output_shape) == 1 else output.reshape(len(output), *self.output_shape)


def _layers(widths: Sequence[int], activation: Callable[[], nn.Module]) -> Iterator[nn.Module]:
    """Yield linear layers between successive widths, with an activation between them."""
    for i, (width, following) in enumerate(pairwise(widths)):
        if i:
            yield activation()
        yield Linear(width, following)
