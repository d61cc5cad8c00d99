from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from benchmarks import measure
from crosspoint import DGCNN, CrossPoint
from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.plugins import describe
from tests.browser import BROWSER, Page

SLOW = set((Path(__file__).parent / "slow.txt").read_text().split())


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--start-method spawn` starts all processes as Windows and macOS do."""
    parser.addoption("--start-method", choices=multiprocessing.get_all_start_methods(), help="of worker processes")


def pytest_configure(config: pytest.Config) -> None:
    """Processes of multiprocessing, PyTorch's loaders among them, here and in the commands that tests begin."""
    method = config.getoption("--start-method")
    if method is not None:
        multiprocessing.set_start_method(method, force=True)
        os.environ["TESTS_START_METHOD"] = method
        inside = str(Path(__file__).parent / "start_method")  # its sitecustomize.py, which Python imports first
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [inside, os.environ.get("PYTHONPATH")]))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what slow.txt lists: files, or `file::test` with all parameters."""
    for item in items:
        file = item.path.relative_to(Path(__file__).parents[1]).as_posix()
        if {file, f"{file}::{item.name.split('[')[0]}"} & SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def seed_torch() -> None:
    """The same random weights in each test, whichever ran before it: with others a point may lie on a border."""
    torch.manual_seed(0)


@pytest.fixture
def write_checkpoint() -> Callable[..., CrossPoint]:
    """Writes a checkpoint as `crosspoint pretrain` does, with statistics of BatchNorm that are not the initial ones."""

    def write(path: Path, seed: int = 0) -> CrossPoint:
        torch.manual_seed(seed)
        method = CrossPoint(DGCNN(k=4, channels=[8], embedding=8), ImageEncoder("resnet18"), projection=16)
        for module in method.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_var.uniform_(0.5, 2.0)
                module.running_mean.normal_()
        weights = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        record = Record(
            describe(method.encoder), Inputs(), describe(method.image_encoder), {"method": describe(method)}
        )
        torch.save({"state_dict": weights, RECORD_KEY: record.as_dict()}, path)
        return method.eval()

    return write


@pytest.fixture
def peak_memory() -> Callable[[Callable[[], object]], int]:
    """Bytes by which a run makes this process grow at most."""

    def measured(run: Callable[[], object]) -> int:
        try:
            return measure.peak_memory(run)
        except OSError as error:
            pytest.skip(f"needs a kernel that keeps and resets the peak of a process: {error}")

    return measured


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page in headless Chromium."""
    if BROWSER is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    page = Page(tmp_path_factory.mktemp("profile"))
    yield page
    page.close()
