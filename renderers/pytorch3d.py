"""Fragments by rasterization on CPU or GPU: PyTorch3D (Ravi et al. 2020, https://arxiv.org/abs/2007.08501)."""

from __future__ import annotations

import numpy as np
import torch
import trimesh
from torch import Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.renderers.fragments import Fragments

try:
    from pytorch3d.renderer import MeshRasterizer, RasterizationSettings
    from pytorch3d.structures import Meshes
    from pytorch3d.utils import cameras_from_opencv_projection
except ImportError as error:
    raise ImportError(
        f"found no working PyTorch3D ({error}), expected it for the backend pytorch3d: build it for this torch as "
        "https://github.com/facebookresearch/pytorch3d/blob/main/INSTALL.md says, or use the backend raycast"
    ) from error


class PyTorch3D:
    """A `Tracer`: `MeshRasterizer` with one face per pixel, no blur, faces seen from both sides.

    Args:
        mesh: the mesh.
        device: where to rasterize; a GPU where there is one by default.
    """

    def __init__(self, mesh: trimesh.Trimesh, device: torch.device | str | None = None):
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        vertices = torch.from_numpy(np.array(mesh.vertices, dtype=np.float32)).to(self.device)
        faces = torch.from_numpy(np.array(mesh.faces, dtype=np.int64)).to(self.device)
        self.meshes = Meshes(verts=[vertices], faces=[faces])

    def __call__(self, cameras: Cameras) -> Fragments:
        """Rasterize the views one by one, so that the memory does not grow with their number."""
        parts = [self._rasterize(cameras[view]) for view in range(len(cameras))]
        return Fragments(*(torch.cat(part) for part in zip(*parts, strict=True)))

    def at(self, camera: Cameras, rows: Tensor, columns: Tensor) -> Fragments:
        """Rasterize the whole view and pick the pixels: a rasterizer gains nothing from few of them."""
        return Fragments(*(part[:, rows, columns] for part in self._rasterize(camera)))

    def _rasterize(self, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
        height, width = camera.size
        converted = cameras_from_opencv_projection(
            R=camera.R.float().to(self.device),
            tvec=camera.t.float().to(self.device),
            camera_matrix=camera.K.float().to(self.device),
            image_size=torch.tensor([[height, width]], dtype=torch.float32, device=self.device),
        )
        settings = RasterizationSettings(
            image_size=(height, width), faces_per_pixel=1, bin_size=None if self.device.type == "cuda" else 0
        )
        found = MeshRasterizer(cameras=converted, raster_settings=settings)(self.meshes)
        face = found.pix_to_face[..., 0]
        hit = face >= 0
        barycentric = torch.where(hit[..., None], found.bary_coords[..., 0, :], 0.0)
        return face.int(), barycentric, torch.where(hit, found.zbuf[..., 0], torch.inf)
