"""bfloat16 autocast, on the CPU: matrix products are halved in precision, everything that sums or compares is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from crosspoint import DGCNN, Compute, CrossPoint, PartSegDGCNN, PointNet
from crosspoint.datasets.pairs import stack_pairs
from crosspoint.ops import edge_moments, edgeconv
from tests.crosspoint.toys import toy_method, toy_run

# Cosines of embeddings rounded to 8 bits are off by about 2⁻⁸, logits by 1 / temperature = 10 times as much, and a loss
# is the difference of two of them.
LOSS_TOLERANCE = 2 * 10 * 2**-8

# What may see a tensor of 8 bits: products, what only selects, copies or adds two values, and BatchNorm, which takes
# its statistics in float32.
HALF = {
    *("mm", "addmm", "convolution", "native_batch_norm", "relu_", "leaky_relu_", "add_", "amax", "mean"),
    *("max_pool2d_with_indices", "_to_copy", "copy_", "detach", "alias", "view", "_unsafe_view", "t", "split"),
}


class HalvedOperations(TorchDispatchMode):
    """Notes which operations see a bfloat16 tensor, and the types of what BatchNorm keeps."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.kept: set[torch.dtype] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        found = func(*args, **(kwargs or {}))
        if any(isinstance(each, Tensor) and each.dtype == torch.bfloat16 for each in args):
            self.names.add(name)
        if name == "native_batch_norm":
            _, weight, bias, mean, variance, *_ = args
            self.kept |= {each.dtype for each in (weight, bias, mean, variance, *found[1:])}
        return found


NETWORKS = {"dgcnn": DGCNN, "pointnet": PointNet, "dgcnn_partseg": PartSegDGCNN}


def step(pairs: Any, half: bool, seed: int = 0, network: str = "dgcnn") -> tuple[CrossPoint, dict[str, Tensor]]:
    """One forward and backward pass; (the method, its losses)."""
    method = toy_method(seed, NETWORKS[network])
    batch = stack_pairs([pairs[i, 0] for i in range(len(pairs))])
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        parts = method.training_step(batch, torch.Generator().manual_seed(seed))
    parts["loss"].backward()
    return method, parts


def gradient(method: nn.Module) -> Tensor:
    return torch.cat([weight.grad.flatten() for weight in method.parameters()])


@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg"])
@pytest.mark.parametrize("seed", [0, 1])
def test_losses_and_gradients_are_those_of_float32_but_for_rounding(seed: int, network: str, toy_pairs: type) -> None:
    (full, expected), (half, found) = (step(toy_pairs(), half, seed, network) for half in (False, True))
    for name in ("intra", "cross"):
        assert found[name].dtype == torch.float32
        assert float(found[name].detach()) == pytest.approx(float(expected[name].detach()), abs=LOSS_TOLERANCE)
    assert {weight.grad.dtype for weight in half.parameters()} == {torch.float32}
    assert gradient(half).isfinite().all()
    # Rounding adds noise in every of some twenty layers; a gradient of another loss would be at right angles.
    assert torch.cosine_similarity(gradient(half), gradient(full), dim=0) > 0.8


def test_only_products_are_halved(toy_pairs: type) -> None:
    method, batch = toy_method(), stack_pairs([toy_pairs()[i, 0] for i in range(24)])
    with HalvedOperations() as seen, torch.autocast("cpu", torch.bfloat16):
        parts = method.training_step(batch, torch.Generator().manual_seed(0))
    assert {"mm", "convolution"} <= seen.names <= HALF
    assert seen.kept == {torch.float32}
    assert {each.dtype for each in parts.values()} == {torch.float32}
    statistics = {name: each for name, each in method.named_buffers() if "running" in name}
    assert {each.dtype for each in statistics.values()} == {torch.float32}


def test_augmentations_and_projections_keep_full_precision(toy_pairs: type) -> None:
    method, batch = toy_method(), stack_pairs([toy_pairs(views=2)[i, 0] for i in range(6)])
    seen: list[Tensor] = []
    for encoder in (method.encoder, method.image_encoder):
        encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    for half in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            z1, z2 = method.project_clouds(batch.points, torch.Generator().manual_seed(0))
            z = method.project_images(batch.images, torch.Generator().manual_seed(0))
        assert z1.dtype == z2.dtype == z.dtype == torch.float32
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])


def test_moments_over_edges_are_taken_in_full_precision(toy_pairs: type, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: set[torch.dtype] = set()
    moments = edge_moments.edge_moments

    def spy(u: Tensor, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        found = moments(u, v, rows)
        seen.update(each.dtype for each in (u, v, *found))
        return found

    monkeypatch.setattr(edgeconv, "edge_moments", spy)
    step(toy_pairs(), half=True)
    assert seen == {torch.float32}


def test_a_run_keeps_its_weights_and_the_state_of_adam_in_full_precision(tmp_path: Path) -> None:
    compute = Compute(accelerator="cpu", workers=0, precision="bf16-mixed")
    last = toy_run(tmp_path / "run", training={"epochs": 1}, compute=compute)
    content = torch.load(last, weights_only=True)
    floats = [each for each in content["state_dict"].values() if each.is_floating_point()]
    states = [each for state in content["optimizer_states"][0]["state"].values() for each in state.values()]
    assert {each.dtype for each in [*floats, *states]} == {torch.float32}
    assert all(each.isfinite().all() for each in [*floats, *states])
