"""ModelNet-R: ModelNet40 with five classes sorted anew (Saeid et al., 2025, https://arxiv.org/abs/2509.05198).

    <root>/<class>/<class>_0001.txt               and the lists, as of ModelNet40 resampled; or
    <root>/ply_data_train0.h5                     and further ones, as of ModelNet40 in HDF5

as the scripts of https://github.com/m-saeid/ModeNetR_PointSkipNet make modelnetR_normal_resampled and
modelnetR_ply_hdf5_2048 of modelnet40_normal_resampled: shapes of flower_pot, plant, vase, cup and bowl get the class
that they are, or are removed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.modelnet40_hdf5 import modelnet40_hdf5_clouds
from crosspoint.datasets.modelnet40_resampled import NAMES, resampled_clouds
from crosspoint.fields import Fields

# Shapes of the classes that were sorted anew, in ModelNet40 and in ModelNet-R.
MODELNET40 = {
    "train": {"bowl": 64, "cup": 79, "flower_pot": 149, "plant": 240, "vase": 475},
    "test": {"bowl": 20, "cup": 20, "flower_pot": 20, "plant": 100, "vase": 100},
}
MODELNET_R = {
    "train": {"bowl": 54, "cup": 34, "flower_pot": 189, "plant": 114, "vase": 599},
    "test": {"bowl": 14, "cup": 9, "flower_pot": 73, "plant": 39, "vase": 123},
}


def modelnet_r_clouds(root: str | Path, split: str, points: int = 1024, fields: Fields = ()) -> Clouds:
    """Read a split of either layout; y is up.

    Args:
        root: the folder, or the one above.
        split: "train" or "test".
        points: of a cloud, at most 10,000 in text and 2,048 in HDF5.
        fields: ("normals",) for those of the text.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if the split is unknown, files hold something else, or they are ModelNet40's, not sorted anew.
    """
    root = Path(root)
    text = (root / NAMES).is_file() or len(list(root.glob(f"*/{NAMES}"))) == 1
    clouds = (
        resampled_clouds(root, split, points, fields) if text else modelnet40_hdf5_clouds(root, split, points, fields)
    )
    counts = {name: int((clouds.labels == number).sum()) for number, name in enumerate(clouds.classes)}
    if all(counts.get(name) == count for name, count in MODELNET40[split].items()):
        raise ValueError(
            f"found ModelNet40 in {root}, with {MODELNET40[split]['flower_pot']} of flower_pot, expected ModelNet-R: "
            "run the scripts of github.com/m-saeid/ModeNetR_PointSkipNet, or take modelnet40_hdf5 or …_resampled"
        )
    return replace(clouds, name="modelnet_r")


class ModelNetR(LabeledDataset):
    """ModelNet-R from the folder that `modelnet_r_clouds` reads, y up."""

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud."""
        return modelnet_r_clouds(self.root, split, points)

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with normals."""
        return modelnet_r_clouds(self.root, split, points, fields)
