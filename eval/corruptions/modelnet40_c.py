"""Thirteen of the fifteen corruptions of ModelNet40-C.

Sun et al., Benchmarking Robustness of 3D Point Cloud Recognition Against Common Corruptions, 2022,
https://arxiv.org/abs/2201.12296; constants follow its code, https://github.com/jiachens/ModelNet40-C. Its clouds are
centered on their bounding box, whose longest side is 2: a cloud is brought into that frame, corrupted, and brought
back. The other two, occlusion and lidar, look at meshes: `mesh_views` has them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy.interpolate import RBFInterpolator
from scipy.spatial.transform import Rotation
from scipy.special import comb

CLUSTER = 100  # points of a cluster of density and density_inc
CUT = 30  # points of a cluster of cutout
CONTROL = 5  # control points along each axis of a distortion
RADIUS = 0.5  # of the radial functions, the default of PyGeM, which the public code calls


def uniform(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Uniform noise of ±0.01 to ±0.05 on each coordinate."""
    return _in_box(points, lambda x: boxed(x + generator.uniform(-0.01 * severity, 0.01 * severity, x.shape)))


def gaussian(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Gaussian noise of 0.01 to 0.03 on each coordinate, cut off at the box."""
    deviation = 0.005 * (severity + 1)
    return _in_box(points, lambda x: np.clip(x + generator.normal(0.0, deviation, x.shape), -1, 1))


def background(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Points added anywhere in the box, a 45th to a 20th as many as there are."""
    count = len(points) // (45, 40, 35, 30, 20)[severity - 1]
    return _in_box(points, lambda x: boxed(np.concatenate([x, generator.uniform(-1, 1, (count, 3))])))


def impulse(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """A 30th to a 10th of the points moved by 0.1 along each axis, to either side."""
    chosen = generator.permutation(len(points))[: len(points) // (30, 25, 20, 15, 10)[severity - 1]]

    def move(x: np.ndarray) -> np.ndarray:
        moved = x.copy()
        moved[chosen] += generator.choice([-0.1, 0.1], (len(chosen), 3))
        return boxed(moved)

    return _in_box(points, move)


def upsampling(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Points added within ±0.05 of others, a fifth as many as there are up to as many."""
    chosen = generator.permutation(len(points))[: len(points) // (5, 4, 3, 2, 1)[severity - 1]]
    noise = generator.uniform(-0.05, 0.05, (len(chosen), 3))
    return _in_box(points, lambda x: boxed(np.concatenate([x, x[chosen] + noise])))


def rotation(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Turned about each axis by 2.5° to 15°, ± 2.5°, to either side."""
    middle = (2.5, 5.0, 7.5, 10.0, 15.0)[severity - 1]
    turn = Rotation.from_euler("xyz", _either_side(middle, 2.5, 3, generator), degrees=True).as_matrix()
    return _in_box(points, lambda x: boxed(x @ turn))


def shear(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """x, y and z each gain shares of others, of 0.05 to 0.25 ± 0.05, to either side; y gives none."""
    b, d, e, f = _either_side(0.05 * severity, 0.05, 4, generator)
    matrix = np.array([[1, 0, b], [d, 1, e], [f, 0, 1]])
    return _in_box(points, lambda x: boxed(x @ matrix))


def cutout(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Two to ten clusters of 30 points removed."""
    for _ in range((2, 3, 5, 7, 10)[severity - 1]):
        points = np.delete(points, _cluster(points, CUT, generator), axis=0)
    return points


def density(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """One to five clusters of 100 points, of each of which three quarters are removed."""
    for _ in range(severity):
        cluster = _cluster(points, CLUSTER, generator)
        points = np.delete(points, generator.permutation(cluster)[: 3 * CLUSTER // 4], axis=0)
    return points


def density_inc(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """One to five clusters of 100 points that stay whole, where half of all points go: from 2N points to N."""
    count, kept = len(points) // 2, []
    for _ in range(severity):
        cluster = _cluster(points, CLUSTER, generator)
        kept.append(points[cluster])
        points = np.delete(points, cluster, axis=0)
    rest = points[generator.permutation(len(points))[: count - CLUSTER * severity]]
    return np.concatenate([*kept, rest])


def distortion(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Free-form deformation: 5 × 5 × 5 control points moved by up to 10 % to 50 % of the box along each axis."""
    moves = generator.uniform(-0.1 * severity, 0.1 * severity, (CONTROL, CONTROL, CONTROL, 3))
    return _in_box(points, lambda x: boxed(free_form(x, moves)))


def distortion_rbf(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Control points moved by 0.025 to 0.125 anywhere, the cloud with them by multiquadric functions."""
    return _by_radial_functions(points, severity, generator, "multiquadric")


def distortion_rbf_inv(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """The same by inverse multiquadric functions."""
    return _by_radial_functions(points, severity, generator, "inverse_multiquadric")


def free_form(points: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Free-form deformation (Sederberg and Parry, 1986) of points in the box [−1, 1]³.

    Args:
        points: (N, 3); those outside of the box stay where they are.
        moves: (n, n, n, 3) of control points, as shares of the box's sides.
    """
    degree = moves.shape[0] - 1
    place = (points + 1) / 2  # (N, 3) in [0, 1]
    steps = np.arange(degree + 1)
    weights = comb(degree, steps) * place[..., None] ** steps * (1 - place[..., None]) ** (degree - steps)  # (N, 3, n)
    moved = 2 * np.einsum("ni,nj,nk,ijkd->nd", weights[:, 0], weights[:, 1], weights[:, 2], moves, optimize=True)
    inside = ((place >= 0) & (place <= 1)).all(axis=1, keepdims=True)
    return np.where(inside, points + moved, points)


def boxed(points: np.ndarray) -> np.ndarray:
    """Centered on the bounding box, whose longest side becomes 2."""
    low, high = points.min(axis=0), points.max(axis=0)
    return (points - (low + high) / 2) * 2 / (high - low).max()


def _by_radial_functions(points: np.ndarray, severity: int, generator: Generator, kernel: str) -> np.ndarray:
    axis = np.linspace(-1, 1, CONTROL)
    control = np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1).reshape(-1, 3)
    azimuth, polar = generator.uniform(-np.pi, np.pi, (2, len(control)))
    directions = [np.cos(azimuth) * np.sin(polar), np.sin(azimuth) * np.sin(polar), np.cos(polar)]
    moves = 0.025 * severity * np.stack(directions, axis=1)
    field = RBFInterpolator(control, moves, kernel=kernel, epsilon=1 / RADIUS, degree=1)
    return _in_box(points, lambda x: boxed(x + field(x)))


def _in_box(points: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Change a cloud in the frame of the benchmark, and bring it back into its own."""
    low, high = points.min(axis=0), points.max(axis=0)
    center, half = (low + high) / 2, max(float((high - low).max()) / 2, np.finfo(np.float64).tiny)
    return change((points - center) / half) * half + center


def _either_side(middle: float, around: float, count: int, generator: Generator) -> np.ndarray:
    """Numbers of a size within `around` of `middle`, of either sign."""
    sizes = generator.uniform(middle - around, middle + around, count)
    return sizes * generator.choice([-1.0, 1.0], count)


def _cluster(points: np.ndarray, size: int, generator: Generator) -> np.ndarray:
    """The points (size,) nearest to a random one."""
    squares = ((points - points[generator.integers(len(points))]) ** 2).sum(axis=1)
    return np.argpartition(squares, size)[:size]
