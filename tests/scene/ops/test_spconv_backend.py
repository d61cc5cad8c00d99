"""spconv behind the same call: tests run on its contract, written out in PyTorch, and on spconv where there is one.

spconv's build for CPUs adds up wrong sums with several threads, and its backward pass asks a CUDA driver for a stream
that it does not use; with one thread and any stream its results and gradients on a CPU are right.
"""

from __future__ import annotations

import copy
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from crosspoint.eval.segmentation_target import SegmentationTarget
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import build_segmenter
from crosspoint.scene.checkpoints.scene_encoder import SceneEncoder
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.kernel_maps import Grid, KernelMap
from crosspoint.scene.ops.sparse_conv import (
    SparseConv3d,
    SparseTensor,
    SparseTransposedConv3d,
    SubmanifoldConv3d,
    sparse_convolution,
    use_backend,
)
from crosspoint.scene.ops.voxels import VoxelConfig

TINY: dict[str, Any] = {"stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1]}
TINY |= {"decoder": [8, 8], "decoder_blocks": [1, 1]}
MODULES = ("crosspoint.scene.ops.spconv_backend", "spconv", "spconv.pytorch", "spconv.cppconstants")
LAYERS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "submanifold 3": (lambda: SubmanifoldConv3d(3, 5), 1),
    "submanifold 5 with bias": (lambda: SubmanifoldConv3d(3, 5, 5, bias=True), 1),
    "submanifold 1": (lambda: SubmanifoldConv3d(3, 5, 1), 1),
    "submanifold 3 at stride 4": (lambda: SubmanifoldConv3d(3, 5), 4),
    "strided 2": (lambda: SparseConv3d(3, 5), 1),
    "strided 3": (lambda: SparseConv3d(3, 5, 3), 1),
    "strided 1": (lambda: SparseConv3d(3, 5, 1), 1),
    "transposed 2": (lambda: SparseTransposedConv3d(3, 5), 2),
    "transposed 3": (lambda: SparseTransposedConv3d(3, 5, 3, bias=True), 2),
}


def voxels(count: int = 400, side: int = 12) -> Tensor:
    """Unique coordinates (M, 4) of two frames, in no order."""
    generator = torch.Generator().manual_seed(0)
    space = torch.randint(-side // 2, side // 2, (count, 3), generator=generator)
    found = torch.cat((torch.randint(0, 2, (count, 1), generator=generator), space), dim=1).unique(dim=0)
    return found[torch.randperm(len(found), generator=generator)]


def indice_conv(
    features: Tensor,
    filters: Tensor,
    pairs: Tensor,
    counts: Tensor,
    out: int,
    inverse: bool = False,
    subm: bool = False,
) -> Tensor:
    """spconv's contract: filters (C_out, K, C_in), pairs (2, K, L) int32; with `subm` the center maps all rows."""
    assert pairs.dtype == counts.dtype == torch.int32 and counts.device.type == "cpu" and filters.is_contiguous()
    assert not inverse and int(counts.max()) > 0
    result = features.new_zeros(out, len(filters))
    for offset, weight in enumerate(filters.unbind(dim=1)):
        mirrored = len(counts) - 1 - offset if subm and offset > len(counts) // 2 else offset
        rows, to = pairs[:, offset, : counts[mirrored]].long()
        if subm and offset == len(counts) // 2:
            result = result + features @ weight.T
        else:
            result = result.index_add(0, to, features[rows] @ weight.T)
    return result


def indice_conv_backward(
    features: Tensor,
    filters: Tensor,
    grad: Tensor,
    pairs: Tensor,
    counts: Tensor,
    inverse: bool = False,
    subm: bool = False,
) -> tuple[Tensor, Tensor]:
    """Gradients of features and filters."""
    features, filters = features.detach().requires_grad_(), filters.detach().requires_grad_()
    with torch.enable_grad():
        result = indice_conv(features, filters, pairs, counts, len(grad), inverse, subm)
    to_features, to_filters = torch.autograd.grad(result, (features, filters), grad)
    return to_features, to_filters


def written_out() -> dict[str, ModuleType]:
    """Modules with what the backend asks of spconv."""
    package, pytorch, constants = (ModuleType(name) for name in MODULES[1:])
    pytorch.ops = SimpleNamespace(indice_conv=indice_conv, indice_conv_backward=indice_conv_backward)  # type: ignore[attr-defined]
    constants.CPU_ONLY_BUILD = True  # type: ignore[attr-defined]
    return dict(zip(MODULES[1:], (package, pytorch, constants), strict=True))


def imported(monkeypatch: pytest.MonkeyPatch, modules: dict[str, ModuleType | None]) -> ModuleType:
    """The backend as it is where these modules are installed."""
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, MODULES[0], raising=False)
    backend = importlib.import_module(MODULES[0])
    monkeypatch.setitem(sys.modules, MODULES[0], backend)  # so that it is gone after the test
    return backend


def installed() -> Any:
    """spconv itself; the test is skipped where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("spconv.pytorch", reason="spconv is not installed", exc_type=ImportError)


@pytest.fixture(params=["contract", "spconv"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The backend, which does not refuse CPUs here."""
    if request.param == "spconv":
        monkeypatch.setattr(installed().ops, "get_current_stream", lambda: 0)
    found = imported(monkeypatch, written_out() if request.param == "contract" else {})
    monkeypatch.setattr(found, "_check_features", lambda features: None)
    monkeypatch.setattr(found, "check_gpu", lambda: None)
    with threadpool_limits(1, user_api="openmp"):
        yield found


def by_both(network: nn.Module, x: SparseTensor) -> list[list[Tensor]]:
    """Results, and gradients of features and weights, by PyTorch and by spconv."""
    found = []
    for name in ("torch", "spconv"):
        made, features = copy.deepcopy(network), x.features.clone().requires_grad_()
        use_backend(made, name)  # type: ignore[arg-type]
        out = made(x.with_features(features))
        out = out if isinstance(out, Tensor) else out.features
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        (out * weights.to(out)).sum().backward()
        found.append([out.detach(), *(p.grad for p in (features, *made.parameters()) if p.grad is not None)])
    return found


@pytest.mark.parametrize("name", LAYERS)
def test_values_and_gradients_are_those_of_torch(
    backend: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.scene.ops.kernel_maps.ROWS", 16)  # several blocks per offset
    torch.manual_seed(0)
    make, stride = LAYERS[name]
    layer, grid = make().double(), Grid(voxels())
    x = SparseTensor(torch.randn(grid.size(stride), 3, dtype=torch.float64), grid, stride)
    convolve = Mock(wraps=backend.convolve)
    monkeypatch.setattr(backend, "convolve", convolve)
    ours, theirs = by_both(layer, x)
    assert convolve.call_count == (name != "submanifold 1")  # that one is a product
    assert len(ours) == len(theirs) == 2 + len(list(layer.parameters()))
    torch.testing.assert_close(theirs, ours, rtol=1e-12, atol=1e-12)


def test_a_network_is_the_same_and_so_are_its_checkpoints(backend: ModuleType) -> None:
    torch.manual_seed(0)
    network, coordinates = MinkUNet.small(), voxels(900, 20)
    x = SparseTensor(torch.rand(len(coordinates), 1), Grid(coordinates))
    ours, theirs = by_both(network.double(), x.with_features(x.features.double()))
    torch.testing.assert_close(theirs, ours, rtol=1e-9, atol=1e-9)
    before = copy.deepcopy(network.state_dict())
    use_backend(network, "spconv")
    assert network.backend == copy.deepcopy(network).backend == "spconv"
    assert network.state_dict().keys() == before.keys()
    use_backend(network, "torch")
    assert network.backend == "torch"


@pytest.mark.parametrize("kind", ["strided", "submanifold"])
def test_a_dense_block_is_a_dense_convolution(backend: ModuleType, kind: str) -> None:
    torch.manual_seed(0)
    coordinates = torch.cartesian_prod(torch.arange(1), *[torch.arange(6)] * 3)
    layer = SparseConv3d(4, 7) if kind == "strided" else SubmanifoldConv3d(4, 7)
    features, grid = torch.randn(6**3, 4), Grid(coordinates)
    use_backend(layer, "spconv")
    with torch.no_grad():
        found = layer(SparseTensor(features, grid)).features
    space, size = features.view(1, 6, 6, 6, 4).permute(0, 4, 1, 2, 3), layer.size
    weight = layer.kernel.detach().view(size, size, size, 4, 7).permute(4, 3, 2, 1, 0)
    dense = torch.conv3d(space, weight, stride=6 // round(len(found) ** (1 / 3)), padding=size // 3)
    torch.testing.assert_close(found, dense.flatten(2).squeeze(0).T, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-5), (torch.float16, 1e-2)])
def test_precision_is_that_of_the_features(backend: ModuleType, dtype: torch.dtype, share: float) -> None:
    generator = torch.Generator().manual_seed(0)
    pairs = Grid(voxels()).kernel_map(3, 1, 1)
    features = torch.randn(pairs.input_count, 16, dtype=torch.float64, generator=generator)
    kernel = torch.randn(27, 16, 8, dtype=torch.float64, generator=generator) / 10
    halved = [x.to(dtype).requires_grad_() for x in (features, kernel)]
    found = backend.convolve(*halved, pairs)
    exact = [x.requires_grad_() for x in (features, kernel)]
    expected = sparse_convolution(*exact, pairs)
    for out in (found, expected):
        out.backward(torch.ones_like(out))
    for a, b in zip((found, *(x.grad for x in halved)), (expected, *(x.grad for x in exact)), strict=True):
        assert a.dtype == dtype and (a.double() - b).abs().max() < share * b.abs().max()


def test_without_pairs_nothing_is_asked_of_spconv(backend: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "convolve", None)
    grid = Grid(torch.tensor([[0, 1, 1, 1], [0, 5, 5, 5]]))  # no voxel on a coarse cell's corner
    down = sparse_convolution(torch.ones(2, 3), torch.ones(1, 3, 4), grid.kernel_map(1, 1, 2), "spconv")
    assert torch.equal(down, torch.zeros(2, 4))
    alone = sparse_convolution(torch.ones(2, 3), torch.ones(27, 3, 4), grid.kernel_map(3, 1, 1), "spconv")
    assert torch.equal(alone, torch.full((2, 4), 3.0))


def test_where_it_is_missing_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    network = MinkUNet(**TINY)
    missing: dict[str, ModuleType | None] = dict.fromkeys(MODULES[1:])
    for name, module in missing.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, MODULES[0], raising=False)
    with pytest.raises(
        ImportError, match=r"^found no working spconv \(.*\), expected .* pip install spconv-cu\d+.*torch$"
    ):
        use_backend(network, "spconv")
    assert network.backend == "torch"


@pytest.mark.parametrize(
    ("cpu_build", "gpu", "message"),
    [(True, True, "found spconv's build for CPUs"), (False, False, "found no GPU"), (False, True, None)],
)
def test_where_it_has_no_gpu_it_is_refused(
    cpu_build: bool, gpu: bool, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = written_out()
    modules["spconv.cppconstants"].CPU_ONLY_BUILD = cpu_build  # type: ignore[attr-defined]
    imported(monkeypatch, {**modules})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    network = MinkUNet(**TINY)
    if message is None:
        use_backend(network, "spconv")
    else:
        with pytest.raises(ValueError, match=rf"^{message}, expected a GPU .*: use the backend torch$"):
            use_backend(network, "spconv")
    assert network.backend == ("torch" if message else "spconv")


def test_features_on_a_cpu_and_unknown_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    imported(monkeypatch, {**written_out()})
    pairs: KernelMap = Grid(voxels()).kernel_map(3, 1, 1)
    with pytest.raises(ValueError, match=r"^found features in float32 on cpu, expected float32 or float16 on a GPU"):
        sparse_convolution(torch.rand(pairs.input_count, 2), torch.rand(27, 2, 3), pairs, "spconv")
    with pytest.raises(ValueError, match="found the backend 'cudnn', expected one of torch, spconv"):
        use_backend(MinkUNet(**TINY), "cudnn")  # type: ignore[arg-type]


def test_a_network_is_built_with_the_choice(backend: ModuleType) -> None:
    for name in ("torch", "spconv"):
        built = MinkUNet(**TINY, sparse_backend=name)  # type: ignore[arg-type]
        assert {layer.backend for layer in built.modules() if hasattr(layer, "kernel")} == {name}


@pytest.mark.parametrize("mode", ["linear", "finetuned", "scratch"])
def test_an_evaluation_passes_the_choice_on(backend: ModuleType, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "crosspoint.eval.segmentation_target.load_scene_encoder",
        lambda path: SceneEncoder(MinkUNet(**TINY), VoxelConfig()),
    )
    for random_init in (True, False):
        measured = SegmentationTarget(None, "folder", random_init=random_init, sparse_backend="spconv")  # type: ignore[arg-type]
        assert measured.encoder.backend == "spconv"
        segmenter = build_segmenter(measured.encoder, 3, mode, SegmentationConfig())  # type: ignore[arg-type]
        assert segmenter.encoder is not None and segmenter.encoder.backend == "spconv"


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore:.*your gpu arch")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none")
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-4), (torch.float16, 2e-2)])
@pytest.mark.parametrize("channels", [(1, 16), (32, 64)])
@pytest.mark.parametrize("steps", [(3, 1, 1), (2, 1, 2), (3, 1, 2)])
def test_on_a_gpu(dtype: torch.dtype, share: float, channels: tuple[int, int], steps: tuple[int, int, int]) -> None:
    installed()
    generator = torch.Generator().manual_seed(0)
    for direction in ("there", "back"):
        maps = [Grid(voxels(3000, 20).to(device)).kernel_map(*steps) for device in ("cuda", "cpu")]
        near, far = maps if direction == "there" else [pairs.transposed for pairs in maps]
        values = [
            torch.randn(far.input_count, channels[0], generator=generator, dtype=torch.float64),
            torch.randn(far.volume, *channels, generator=generator, dtype=torch.float64) / 10,
        ]
        halved = [x.to("cuda", dtype).requires_grad_() for x in values]
        with torch.autocast("cuda", torch.float16, enabled=dtype == torch.float16):
            found = sparse_convolution(*halved, near, "spconv")
        exact = [x.requires_grad_() for x in values]
        expected = sparse_convolution(*exact, far)
        grad = torch.randn(expected.shape, generator=generator, dtype=torch.float64)
        found.backward(grad.to(found))
        expected.backward(grad)
        for a, b in zip((found, *(x.grad for x in halved)), (expected, *(x.grad for x in exact)), strict=True):
            assert a.dtype == dtype and (a.double().cpu() - b).abs().max() < share * b.abs().max()
