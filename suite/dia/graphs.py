"""CUDA graphs: a network of many small kernels waits for their launches on a large GPU, a replayed graph does not.

A network is only left with its graph if it has been seen to answer as before on this very device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 1e-3
"""Of the largest value of each tensor: other kernels add in another order."""


def capture(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    by: Callable[..., Any] = torch.cuda.make_graphed_callables,
) -> bool:
    """Let a network in training answer by a graph, for inputs of the shapes given. Whether it does from now on: not
    if the capture fails or its answers, or its gradients summed over two passes, are others than before.

    Its gradients have to be set to zero, not to None, between steps: a graph writes to the same memory each time.
    """
    expected = _two_passes(network, inputs)
    try:
        by(network, inputs)
        found = _two_passes(network, inputs)
        reason = "" if all(map(_near, expected, found)) else "its answers differ"
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
    if reason:
        # What the graph stands in for is the method of its class.
        network.__dict__.pop("forward", None)
        warnings.warn(f"trains without a CUDA graph, which is slower: {reason}", stacklevel=2)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return not reason


def _two_passes(network: nn.Module, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """The answer, and the gradients summed over two passes."""
    parameters = list(network.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    answers = []
    for sign in (1.0, -0.5):
        answer = network(*inputs)
        (sign * answer).square().sum().backward()
        answers.append(answer.detach().clone())
    return [*answers, *(parameter.grad.clone() for parameter in parameters if parameter.grad is not None)]


def _near(expected: Tensor, found: Tensor) -> bool:
    return bool((expected - found).abs().max() <= TOLERANCE * expected.abs().max())
