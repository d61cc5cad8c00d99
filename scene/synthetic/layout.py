"""Layout of a street: the places of traffic, parked cars, lamps and signs, people, gardens, buildings, trees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from crosspoint.scene.synthetic.asset import Prop
from crosspoint.scene.synthetic.buildings import house, town_house
from crosspoint.scene.synthetic.furniture import bollard, fence, lamp, sign, traffic_light
from crosspoint.scene.synthetic.objects import bush, car, hedge, pedestrian, tree
from crosspoint.scene.synthetic.street import REACH, Street

HALF_TURN, QUARTER = np.pi, np.pi / 2
EGO_GAP = 9.0  # meters along its lane that stay free before and behind the ego vehicle's path


@dataclass(frozen=True, eq=False)
class Placed:
    """A prop in the world."""

    prop: Prop
    position: np.ndarray  # (3,) meters
    heading: float  # radians about z from x


@dataclass(frozen=True, eq=False)
class Habits:
    """How a neighborhood looks: drawn once for a street, so that streets differ more than parts of one."""

    town: float  # share of town houses among buildings
    open: float  # share of lots without a building
    parked: float  # share of the parking lane that is taken
    traffic: float  # cars per 100 m of a lane
    walkers: float  # people per 100 m of a pavement
    trees: float  # per 100 m of a verge, and in gardens

    @classmethod
    def draw(cls, rng: Generator) -> Habits:
        """From a town's center to the edge of a village."""
        town = float(np.clip(rng.normal(0.3, 0.4), 0.0, 1.0))
        return cls(
            town=town,
            open=rng.uniform(0.05, 0.5) * (1.2 - town),
            parked=rng.uniform(0.25, 0.9),
            traffic=rng.uniform(0.5, 4.0),
            walkers=rng.uniform(2.0, 6.0) + 8.0 * town * rng.random(),
            trees=rng.uniform(3.0, 11.0),
        )


@dataclass(eq=False)
class Layout:
    """A street being furnished; every method fills one band along it."""

    street: Street
    drive: float
    habits: Habits
    rng: Generator
    placed: list[Placed] = field(default_factory=list)

    def put(self, prop: Prop, s: float, d: float, turn: float = 0.0, sink: float = 0.0) -> None:
        """Stand a prop at (s, d), its front `turn` radians to the left of the street's direction."""
        x, y = self.street.place(s, d)
        position = np.array([x, y, float(self.street.height(s, d)) - sink])
        self.placed.append(Placed(prop, position, self.street.heading(s) + turn))

    def stations(self, per_100_m: float) -> np.ndarray:
        """Random stations on the whole street, in order."""
        length = float(np.ptp(self.street.s))
        count = self.rng.poisson(per_100_m * length / 100.0)
        return np.sort(self.rng.uniform(self.street.s[0] + 2, self.street.s[-1] - 2, count))

    def traffic(self) -> None:
        """Cars in both lanes, queued or far apart; none in the ego vehicle's way."""
        for lane, turn in ((-0.5, 0.0), (0.5, HALF_TURN)):
            last = -np.inf
            for s in self.stations(self.habits.traffic):
                vehicle = car(self.rng, 11.0)
                half = vehicle.size[0] / 2
                if lane < 0 and -EGO_GAP - half < s < self.drive + EGO_GAP + half:
                    continue
                if s - half > last + 1.5:
                    last = s + half
                    d = lane * self.street.lane + self.rng.normal(0.0, 0.15)
                    self.put(vehicle, s, d, turn + self.rng.normal(0.0, 0.02))

    def parking(self, side: int) -> None:
        """Cars along the kerb, most of them parked in the direction of their lane."""
        sign, width = (-1, 1)[side], self.street.parking[side]
        if width == 0.0:
            return
        s = self.street.s[0] + self.rng.uniform(0.0, 5.0)
        while s < self.street.s[-1] - 8.0:
            if self.rng.random() > self.habits.parked or abs(s + 2.5 - self.street.crossing) < 6.5:
                s += self.rng.uniform(3.0, 7.0)
                continue
            vehicle = car(self.rng)
            length = float(vehicle.size[0])
            turn = HALF_TURN * ((side == 1) ^ (self.rng.random() < 0.2)) + self.rng.normal(0.0, 0.03)
            d = sign * (self.street.lane + max(width - vehicle.size[1] / 2 - self.rng.uniform(0.1, 0.3), 0.5 * width))
            self.put(vehicle, s + length / 2, d, turn)
            s += length + self.rng.uniform(0.5, 1.5)

    def kerbside(self, side: int) -> None:
        """Lamps at even distances, and signs, bollards, lights and street trees between them."""
        sign_, edge, rng = (-1, 1)[side], self.street.carriageway(side), self.rng
        spacing, narrow = rng.uniform(18.0, 38.0), self.street.pavement[side] < 2.2
        lamps = np.arange(self.street.s[0] + rng.uniform(0, spacing), self.street.s[-1] - 2, spacing)
        others = self.stations(8.0 + (0.0 if narrow else self.habits.trees))
        wanted = sorted([(s, "lamp") for s in lamps] + [(s, "") for s in others])
        last = -np.inf
        for s, what in wanted:
            if s < last + 2.5:
                continue
            last, d = s, sign_ * (edge + rng.uniform(0.4, 0.6))
            kind = what or rng.choice(["sign", "bollard", "light", "tree"], p=self._kerb_shares(narrow))
            if kind == "lamp":
                self.put(lamp(rng), s, d, -sign_ * QUARTER)
            elif kind == "tree":
                self.put(tree(rng), s, d + 0.4 * sign_, rng.uniform(0, 2 * np.pi), sink=0.05)
            elif kind == "bollard":
                for step in range(int(rng.integers(1, 5))):
                    self.put(bollard(rng), s + 1.6 * step, sign_ * (edge + 0.35))
                    last = s + 1.6 * step
            else:
                against = HALF_TURN * (side == 0) + rng.normal(0.0, 0.15)  # faces the lane beside it
                self.put(sign(rng) if kind == "sign" else traffic_light(rng), s, d, against)

    def _kerb_shares(self, narrow: bool) -> list[float]:
        trees = 0.0 if narrow else self.habits.trees / (8.0 + self.habits.trees)
        return [0.6 * (1 - trees), 0.25 * (1 - trees), 0.15 * (1 - trees), trees]

    def walkers(self, side: int) -> None:
        """People on the pavement, alone or in pairs, and some on the crossing."""
        sign_, rng = (-1, 1)[side], self.rng
        low, high = self.street.carriageway(side) + 0.9, self.street.frontage(side) - 0.3
        for s in self.stations(self.habits.walkers):
            turn = HALF_TURN * (rng.random() < 0.5) + rng.normal(0.0, 0.3)
            d = rng.uniform(min(low, high), max(low, high))
            for beside in range(2 if rng.random() < 0.25 else 1):
                self.put(pedestrian(rng), s + 0.7 * beside, sign_ * d, turn)
        if np.isfinite(self.street.crossing):
            for s in self.street.crossing + rng.uniform(-1.5, 1.5, rng.poisson(0.8)):
                d = sign_ * rng.uniform(0.3, self.street.lane)
                if side == 1 or not -EGO_GAP < s < self.drive + EGO_GAP:
                    self.put(pedestrian(rng), s, d, rng.choice([-QUARTER, QUARTER]))

    def lots(self, side: int) -> None:
        """Building after building, each with its garden, its fence or hedge, and its trees."""
        s, rng = float(self.street.s[0]), self.rng
        while s < self.street.s[-1] - 6.0:
            town, empty = rng.random() < self.habits.town, rng.random() < self.habits.open
            building = None if empty else (town_house(rng) if town else house(rng))
            length = rng.uniform(8.0, 20.0) if building is None else float(building.size[1])
            setback = rng.uniform(0.0, 0.6) if town else rng.uniform(2.5, 7.0)
            if building is not None:
                d = self.street.frontage(side) + setback + building.size[0] / 2
                turn = (1, -1)[side] * QUARTER + rng.normal(0.0, 0.02)
                self.put(building, s + length / 2, (-1, 1)[side] * d, turn, sink=0.4)
            if building is None or not town:
                self._garden(side, s, length, 1e9 if building is None else setback)
            for _ in range(rng.poisson(length / 100 * 3 * self.habits.trees)):
                d = self.street.frontage(side) + rng.uniform(24.0, 60.0)
                self.put(tree(rng), s + rng.uniform(0, length), (-1, 1)[side] * d, rng.uniform(0, 6.3), sink=0.2)
            s += length + (rng.uniform(0.0, 1.0) if town and rng.random() < 0.8 else rng.uniform(1.5, 9.0))

    def _garden(self, side: int, s: float, length: float, deep: float) -> None:
        """What stands between the pavement and a building `deep` meters behind it."""
        sign_, edge, rng = (-1, 1)[side], self.street.frontage(side), self.rng
        border = rng.choice(["none", "fence", "hedge"], p=[0.3, 0.4, 0.3])
        if border != "none":
            self._border(side, s, length, hedge if border == "hedge" else fence)
        for _ in range(rng.poisson(0.12 * length)):
            d = sign_ * (edge + rng.uniform(1.4, max(min(deep - 0.8, 15.0), 1.6)))
            self.put(bush(rng), s + rng.uniform(0, length), d, rng.uniform(0, 6.3), sink=0.05)
        if deep > 4.0:
            for _ in range(rng.poisson(length / 100 * 2 * self.habits.trees)):
                d = sign_ * (edge + rng.uniform(2.0, min(deep - 1.5, 20.0)))
                self.put(tree(rng), s + rng.uniform(0, length), d, rng.uniform(0, 6.3), sink=0.1)

    def _border(self, side: int, s: float, length: float, draw: Callable[[float, Generator], Prop]) -> None:
        """Pieces of a fence or hedge that follow the bends, alike within a lot, with a gate."""
        alike, gate = int(self.rng.integers(2**31)), self.rng.uniform(0, length)
        count = max(1, round(length / 4.0))
        for i in range(count):
            middle = s + length * (i + 0.5) / count
            if abs(middle - s - gate) < 0.5 * length / count and count > 1:
                continue
            piece = draw(length / count, np.random.default_rng(alike))
            self.put(piece, middle, (-1, 1)[side] * (self.street.frontage(side) + 0.5), sink=0.03)

    def ends(self) -> None:
        """Trees and houses across both ends, so that the street does not run into nothing."""
        for end, turn in ((self.street.s[0] + 1.0, 0.0), (self.street.s[-1] - 1.0, HALF_TURN)):
            for d in np.arange(-REACH + 10, REACH - 9, 13.0) + self.rng.uniform(-2, 2):
                prop = tree(self.rng) if self.rng.random() < 0.5 else town_house(self.rng)
                self.put(prop, end, d + self.rng.uniform(-2, 2), turn, sink=0.4)


def furnish(street: Street, drive: float, rng: Generator) -> list[Placed]:
    """Stand everything along a street through which the ego vehicle drives so many meters in the right lane."""
    layout = Layout(street, drive, Habits.draw(rng), rng)
    layout.traffic()
    for side in (0, 1):
        layout.parking(side)
        layout.kerbside(side)
        layout.walkers(side)
        layout.lots(side)
    layout.ends()
    return layout.placed
