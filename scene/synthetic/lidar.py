"""A spinning LiDAR in a world of triangles, ray-cast by Embree (Wald et al. 2014, https://www.embree.org)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crosspoint.scene.synthetic.world import World


class Sweep(NamedTuple):
    """What one turn of the LiDAR returns, beam by beam from the lowest, each counter-clockwise from behind."""

    points: np.ndarray  # (N, 4) float32, meters in the LiDAR's frame, intensity in [0, 1]
    face: np.ndarray  # (N,) int64, the face of the world that was hit
    beam: np.ndarray  # (N,) int64, 0 for the lowest


@dataclass(frozen=True)
class Lidar:
    """A sensor of `beams` lasers that turns about z; all rays of a turn leave at once, from one place.

    A ray returns with intensity ρ · |cos α|, the law of a matt surface of reflectivity ρ hit at the angle α (Lambert),
    corrected for range as the makers' intensities are. Whether it is seen at all depends on the light that arrives,
    p = ρ · |cos α| · (farthest / range)²: it is lost with probability exp(−p / `faint`), and, whatever it met, with
    probability `dropout`. Glass and far asphalt so return little.

    Args:
        beams: lasers, evenly spaced from the lowest to the highest elevation.
        columns: firings of each during a turn.
        elevation: of the lowest and the highest beam, degrees.
        nearest: meters below which nothing is measured.
        farthest: meters above which nothing is measured.
        noise: standard deviation of the range in meters; leaves and grass add the depth to which a beam enters them.
        dropout: share of the returns that is lost in any case.
        faint: see above; 0 loses nothing for its faintness.

    Raises:
        ValueError: if a number is out of range.
    """

    beams: int = 32
    columns: int = 1024
    elevation: tuple[float, float] = (-25.0, 8.0)
    nearest: float = 1.0
    farthest: float = 70.0
    noise: float = 0.02
    dropout: float = 0.03
    faint: float = 0.01

    def __post_init__(self) -> None:
        low, high = self.elevation
        if self.beams < 1 or self.columns < 1 or not -90.0 < low <= high < 90.0:
            raise ValueError(
                f"found {self.beams} beams from {low}° to {high}° and {self.columns} columns, "
                "expected at least one of each, the elevations in order and between ±90°"
            )
        if not (0.0 <= self.nearest < self.farthest and self.noise >= 0 and 0 <= self.dropout < 1 and self.faint >= 0):
            raise ValueError(
                f"found a LiDAR from {self.nearest} to {self.farthest} m, noise {self.noise}, dropout {self.dropout}, "
                f"faint {self.faint}, expected an increasing range, dropout below 1 and nothing below 0"
            )

    def directions(self) -> np.ndarray:
        """Unit vectors (beams · columns, 3) float64 of all rays in the LiDAR's frame, beam by beam."""
        elevation = np.deg2rad(np.linspace(*self.elevation, self.beams))[:, None]
        azimuth = np.deg2rad(-180.0 + 360.0 * (np.arange(self.columns) + 0.5) / self.columns)[None]
        around = np.stack(np.broadcast_arrays(np.cos(azimuth), np.sin(azimuth), np.tan(elevation)), axis=2)
        around *= np.cos(elevation)[..., None]
        return around.reshape(-1, 3)

    def sweep(self, world: World, pose: np.ndarray, rng: np.random.Generator) -> Sweep:
        """Turn once.

        Args:
            world: with its tracer.
            pose: (4, 4), from the LiDAR's frame to the world's.
            rng: of noise and losses.
        """
        directions = self.directions()
        rays = (directions @ pose[:3, :3].T).astype(np.float32)
        origins = np.tile(pose[:3, 3].astype(np.float32), (len(rays), 1))
        hits = world.tracer.scene.run(origins, rays, output=1)
        # The same draws for every ray, hit or not: what one ray meets never changes another's noise.
        jitter, entered, luck, chance = rng.normal(size=len(rays)), *rng.uniform(size=(3, len(rays)))
        distance, hit = hits["tfar"].astype(np.float64), hits["primID"] >= 0
        face = np.where(hit, hits["primID"], 0)
        intensity = world.reflectivity[face] * np.abs((world.facing[face] * rays).sum(axis=1))
        kept = hit & (distance >= self.nearest) & (distance <= self.farthest) & (luck >= self.dropout)
        if self.faint > 0:
            power = intensity * (self.farthest / np.where(kept, distance, 1.0)) ** 2
            kept &= chance >= np.exp(-power / self.faint)
        if self.noise > 0:
            distance = distance + self.noise * jitter + world.softness[face] * entered
        points = np.column_stack([directions * np.where(kept, distance, 0.0)[:, None], np.clip(intensity, 0.0, 1.0)])
        beam = np.repeat(np.arange(self.beams), self.columns)
        return Sweep(points[kept].astype(np.float32), face[kept].astype(np.int64), beam[kept])


HDL_64 = Lidar(beams=64, columns=1800, elevation=(-24.8, 2.0))  # Velodyne's, of KITTI
