"""Examples in docstrings: every one of the installed package is run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("crosspoint", "crosspoint.renderers", "crosspoint.scene", "crosspoint.eval")


def modules_with_examples() -> list[str]:
    found = []
    for package in PACKAGES:
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if module.name.endswith(("__main__", "renderers.pytorch3d", "spconv_backend")):
                continue  # scripts, and modules that need an optional library
            tests = doctest.DocTestFinder().find(importlib.import_module(module.name))
            found += [module.name] if any(test.examples for test in tests) else []
    return sorted({*found})  # a wheel has the three others inside the first


def test_folders_of_the_namespace_are_walked() -> None:
    names = modules_with_examples()
    assert {"crosspoint.losses", "crosspoint.scene.models.minkunet", "crosspoint.eval.supervised.lovasz"} <= set(names)


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
