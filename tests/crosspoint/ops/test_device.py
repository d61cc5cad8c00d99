from __future__ import annotations

import pytest
import torch

from crosspoint.ops.device import chosen_device, require_device


def test_devices_of_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert chosen_device("auto") == chosen_device("cpu") == "cpu"
    for name in ("cuda", "gpu", "cuda:1"):
        with pytest.raises(ValueError, match=rf"found no GPU that torch can use here, expected one for '{name}'"):
            chosen_device(name)
    with pytest.raises(ValueError, match="no Apple GPU"):
        require_device("mps")
    with pytest.raises(ValueError, match="found the device 'cdua'"):
        require_device("cdua")


def test_devices_of_a_machine_with_two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [chosen_device(name) for name in ("auto", "gpu", "cuda:1")] == ["cuda", "cuda", "cuda:1"]
    with pytest.raises(ValueError, match=r"'cuda:2', expected cuda:0…cuda:1"):
        chosen_device("cuda:2")
