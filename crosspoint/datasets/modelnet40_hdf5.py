"""ModelNet40 as 2,048 points per shape, in HDF5: the archive that DGCNN and CrossPoint evaluate on.

    <root>/ply_data_train0.h5                     0 to 4; test0, test1
    <root>/shape_names.txt                        optional

as https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip unpacks (Qi et al., 2017).
"""

from __future__ import annotations

from pathlib import Path

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.hdf5 import find_archives, read_archives
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.fields import Fields
from crosspoint.renderers.files import read_whole

SOURCE = "get modelnet40_ply_hdf5_2048.zip (Qi et al., shapenet.cs.stanford.edu/media) and unpack it there"

# In the archive's own order, which is the alphabet's.
MODELNET40 = (
    "airplane", "bathtub", "bed", "bench", "bookshelf", "bottle", "bowl", "car", "chair", "cone", "cup", "curtain",
    "desk", "door", "dresser", "flower_pot", "glass_box", "guitar", "keyboard", "lamp", "laptop", "mantel", "monitor",
    "night_stand", "person", "piano", "plant", "radio", "range_hood", "sink", "sofa", "stairs", "stool", "table",
    "tent", "toilet", "tv_stand", "vase", "wardrobe", "xbox",
)  # fmt: skip


def modelnet40_hdf5_clouds(root: str | Path, split: str, points: int = 1024, fields: Fields = ()) -> Clouds:
    """Read `ply_data_{train,test}*.h5` (9,840 and 2,468 clouds); y is up, as it is in the files.

    The points of each cloud are shuffled in the archive, so the first ones are a fair sample: this is how everybody
    reads it. Nothing is centered or scaled.

    Args:
        root: the folder `modelnet40_ply_hdf5_2048`, from
            https://shapenet.cs.stanford.edu/media/modelnet40_ply_hdf5_2048.zip (Qi et al., 2017); it holds the .h5
            files and, if complete, shape_names.txt. The folder above is taken, too.
        split: "train" or "test".
        points: of a cloud, at most 2,048.
        fields: ("normals",) for those that the archive keeps beside the points.

    Raises:
        FileNotFoundError: if the folder or its files are not there.
        ValueError: if the split is unknown, or a file does not hold what it should.
    """
    if split not in ("train", "test"):
        raise ValueError(f"found the split {split!r}, expected one of: train, test")
    root = Path(root)
    paths = find_archives(root, f"ply_data_{split}*.h5", SOURCE)
    archive = read_archives(paths, points, fields=fields)
    names = paths[0].parent / "shape_names.txt"
    listed = "the names of the classes, one a line"
    classes = read_whole(names, listed).decode(errors="replace").split() if names.is_file() else list(MODELNET40)
    return Clouds(archive.points, archive.labels, classes, "modelnet40_hdf5", split, fields=fields)


class ModelNet40Hdf5(LabeledDataset):
    """ModelNet40 from the folder that `modelnet40_hdf5_clouds` reads, y up."""

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud."""
        return modelnet40_hdf5_clouds(self.root, split, points)

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with normals."""
        return modelnet40_hdf5_clouds(self.root, split, points, fields)
