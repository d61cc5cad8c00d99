"""torch.compile as an option of pre-training."""

from __future__ import annotations

import copy
import os
import shutil
import sys
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

from crosspoint.methods.method import Method

Data = TypeVar("Data")
Figures = TypeVar("Figures")


def compile_networks(method: Method, accelerator: str) -> None:
    """Compile a method's encoders in place, at their first call; their weights keep their names.

    Augmentations, heads and losses stay as they are: they take little of a step.

    Args:
        method: whose encoders.
        accelerator: on which they will run, as Lightning calls it.

    Raises:
        ImportError: if they will run on a CPU and there is no C++ compiler.
        ValueError: if the method's networks cannot be compiled.
    """
    networks = method.networks_to_compile()
    if not networks:
        raise ValueError(
            f"found compute.compile true for {type(method).__name__}, expected false: the shapes of its batches change "
            "at every step"
        )
    if accelerator == "cpu" or not torch.cuda.is_available():
        compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
        if shutil.which(compiler) is None:
            raise ImportError(
                f"found no C++ compiler {compiler!r}, expected one for compute.compile on a CPU: install it, set CXX, "
                "or leave compute.compile false"
            )
    for network in networks:
        network.compile()


def on_a_copy(measure: Callable[[nn.Module, Data], Figures]) -> Callable[[nn.Module, Data], Figures]:
    """The same measurement on a copy of the encoder, which is not compiled.

    A probe has batches of its own sizes, each of which would be compiled anew, for evaluation, and used once.
    """
    return lambda encoder, data: measure(copy.deepcopy(encoder), data)
