"""Every configuration of the repository is read: its classes exist, and take these arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from crosspoint.cli.main import main
from crosspoint.cli.pretrain import read_config

EVALUATIONS = sorted((Path(__file__).parents[3] / "configs" / "evaluate").glob("*.yaml"))
CONFIGS = sorted((Path(__file__).parents[3] / "configs").glob("*.yaml"))
METHODS = {
    "ppkt": "PPKT",
    "slidr": "SLidR",
    "simipu": "SimIPU",
    "olivine": "OLIVINE",
    "cmcr": "CMCR",
    "scalr": "Regression",
}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_configuration_is_read_and_says_the_same_when_written_out(path: Path, tmp_path: Path) -> None:
    config = read_config(["--config", str(path)])
    written = config.as_yaml()
    (tmp_path / "again.yaml").write_text(written)
    assert read_config(["--config", str(tmp_path / "again.yaml")]).as_yaml() == written
    assert yaml.safe_load(written)["out"] == f"runs/{path.stem}"


@pytest.mark.parametrize("path", EVALUATIONS, ids=lambda path: path.stem)
def test_a_configuration_of_a_protocol_is_read(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the command that its first lines give, whose protocol its name begins with."""
    name = path.stem.partition("_")[0]
    words = ["--checkpoint", "run/last.ckpt", "--root", "data", "--print_config"]
    with pytest.raises(SystemExit) as ended:
        main(["evaluate", name, "--config", str(path), *words])
    assert ended.value.code in (0, None)
    written = yaml.safe_load(capsys.readouterr().out)
    for key, value in yaml.safe_load(path.read_text()).items():
        assert written[key] == value or isinstance(value, dict) or key == "root"
    assert f"crosspoint evaluate {name} --config configs/evaluate/{path.name}" in path.read_text()


@pytest.mark.parametrize("dataset", ["synthetic", "kitti", "nuscenes"])
@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_for_scenes_has_a_configuration_of_every_kind(method: str, dataset: str) -> None:
    config = read_config(["--config", str(CONFIGS[0].parent / f"scene_{method}_{dataset}.yaml")])
    assert config.method.made.__name__ == METHODS[method]
    kinds = {"synthetic": "FolderScenes", "kitti": "KittiRaw", "nuscenes": "NuScenes"}
    assert config.dataset.made.__name__ == kinds[dataset]
