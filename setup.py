"""The packages of the distribution: four folders of this repository, installed as one namespace.

`scene/`, `eval/` and `renderers/` are names that other repositories have at their top level, too, so they are installed
as `crosspoint.scene`, `crosspoint.eval` and `crosspoint.renderers`. Everything else is in pyproject.toml.
"""

from setuptools import find_packages, setup

FOLDERS = {
    "crosspoint": "crosspoint",
    "crosspoint.renderers": "renderers",
    "crosspoint.scene": "scene",
    "crosspoint.eval": "eval",
}

setup(
    package_dir=FOLDERS,
    packages=[
        package
        for name, folder in FOLDERS.items()
        for package in (name, *(f"{name}.{inner}" for inner in find_packages(folder)))
    ],
)
