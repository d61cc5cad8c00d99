from __future__ import annotations

from pathlib import Path

import pytest
import torch

from crosspoint import load_pretrained
from crosspoint.models.patches import cut_patches
from crosspoint.models.point_transformer import PointTransformer
from tests.crosspoint.checkpoints.point_mae_network import PointMAEEncoder


def network(*, class_token: bool = False) -> PointMAEEncoder:
    torch.manual_seed(0)
    made = PointMAEEncoder(128, 2, class_token=class_token)
    for layer in made.modules():  # statistics that are not those of a new network
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(layer.running_mean)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2.0)
    return made.eval()


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("wrapped", ["pretrained", "finetuned", "alone"])
def test_weights_in_its_names_give_its_features(tmp_path: Path, wrapped: str, class_token: bool) -> None:
    theirs = network(class_token=class_token)
    state = theirs.state_dict()
    content = {
        "pretrained": {"base_model": {f"module.MAE_encoder.{name}": value for name, value in state.items()}},
        "finetuned": {"base_model": {**state, "cls_head_finetune.0.weight": torch.zeros(4, 256)}, "epoch": 3},
        "alone": state,
    }[wrapped]
    torch.save(content, tmp_path / "theirs.pth")
    loaded = load_pretrained(tmp_path / "theirs.pth")
    assert isinstance(loaded.encoder, PointTransformer)
    assert loaded.inputs.points == 1024
    points = torch.randn(2, 200, 3, generator=torch.Generator().manual_seed(1))
    patches = cut_patches(points, 64, 32)
    with torch.no_grad():
        tokens = theirs(patches.points, patches.centers)
        first, rest = (tokens[:, 0], tokens[:, 1:]) if class_token else (tokens.mean(dim=1), tokens)
        expected = torch.cat([first, rest.amax(dim=1)], dim=1)
        assert torch.allclose(loaded.encoder.eval()(points), expected, atol=1e-4)


def test_a_missing_layer_is_named(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["blocks.blocks.1.attn.proj.weight"]
    torch.save({"base_model": state}, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"found no blocks\.blocks\.1\.attn\.proj\.weight in .*cut\.pth"):
        load_pretrained(tmp_path / "cut.pth")
