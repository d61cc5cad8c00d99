"""Networks as a file describes them, built only once it is sure that the file's weights fit."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from crosspoint.checkpoints.files import leaves, load_weights_strict
from crosspoint.checkpoints.record import REMEDY, Described
from crosspoint.plugins import Kind, build, import_path
from crosspoint.renderers.files import reading, short
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import checked

LARGEST = 10**6  # an argument of a network that says no size, such as that of its images
SLACK = 1000  # modules and parameters beyond ten times the weights, which no network here has


def build_network(
    kind: Kind, described: JsonObject, base: type, path: Path, weights: Mapping[str, Tensor], **given: Any
) -> Any:
    """The network that a file describes, with the file's weights, in eval mode.

    It is first built without memory, on torch's device "meta", and its shapes are compared: a record may announce a
    layer of billions. Networks that cannot be built so are built at once.

    Args:
        kind: what it is.
        described: its class and arguments.
        base: the class that it must extend.
        path: the file, for messages.
        weights: of all of its layers.
        given: further arguments, which are objects already.

    Raises:
        ValueError: if the description is none, or does not fit the weights.
    """
    checked(described, Described, path, f"a description of the {kind}", REMEDY)
    name = described["class_path"].rpartition(".")[2]
    if import_path(kind, described["class_path"]).startswith("crosspoint."):
        _check_numbers(described["init_args"], max(LARGEST, sum(weight.numel() for weight in weights.values())), path)
    expected, remedy = f"a {kind} that {name} can be built with", "install the version that wrote it"
    return build_checked(lambda: build(kind, described, base, path, **given), weights, path, expected, remedy)


def build_checked(
    make: Callable[[], nn.Module], weights: Mapping[str, Tensor], path: Path, expected: str, remedy: str
) -> nn.Module:
    """The network that a function makes, with the file's weights, in eval mode; first made without memory.

    Args:
        make: called twice: under torch's device "meta", and then for good.
        weights: of all of its layers.
        path: the file, for messages.
        expected: what the file should be.
        remedy: what to do if it is not.

    Raises:
        ValueError: if the network cannot be made, or does not fit the weights.
    """
    limit = _no_more_than(10 * len(weights) + SLACK)
    with _told_of(path), reading(path, expected, remedy), torch.random.fork_rng(devices=[]), limit:
        try:
            with torch.device("meta"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outline = make()
        except (NotImplementedError, RuntimeError):  # what looks at its own weights while it is built
            outline = None
        if outline is not None:
            _check_shapes(outline, weights, path, type(outline).__name__)
        network = make()
    load_weights_strict(network, weights, path, type(network).__name__)
    return network.eval()


def _check_shapes(network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    for key, own in network.state_dict().items():
        if key in weights and isinstance(weights[key], Tensor) and weights[key].shape != own.shape:
            raise ValueError(
                f"found weights in {path} that do not fit {name} (size mismatch for {key}: {tuple(weights[key].shape)} "
                f"in the file, {tuple(own.shape)} by its record), expected a checkpoint of this architecture: choose "
                "the one it was trained with"
            )


@contextmanager
def _told_of(path: Path) -> Iterator[None]:
    """Put the file before what a network says of its own arguments."""
    try:
        yield
    except ValueError as error:
        if str(path) in str(error):
            raise
        raise ValueError(f"{path}: {error}") from error


def _check_numbers(arguments: object, most: int, path: Path) -> None:
    """Make sure that no size is above that of all weights together: a list may be as long as it says."""
    for each in leaves(arguments):
        if isinstance(each, int) and abs(each) > most:
            raise ValueError(
                f"found {short(each)} among the arguments of the network in {path}, expected at most {most:,}, as many "
                f"as it has weights: {REMEDY}"
            )


@contextmanager
def _no_more_than(count: int) -> Iterator[None]:
    """Stop building a network that has more parts than weights could be for."""
    found = 0

    def counted(*_: object) -> None:
        nonlocal found
        found += 1
        if found > count:
            raise ValueError(f"found more than {count} layers described, expected as many as there are weights")

    hooks = [register_module_module_registration_hook(counted), register_module_parameter_registration_hook(counted)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
