"""A chest made of formulas: slices of Hounsfield units with the nodules' masks, for examples and tests.

Lengths are in mm, x to the patient's left (right in the image), y to the back (down), z to the head, the origin in the
middle of the body. Every structure is a signed distance (mm, positive inside), and a pixel's share of it runs from 0
to 1 within one pixel around the border, as it does in a scanner. Nothing here is anatomy: it is as much of a chest as a
network needs to have to tell a nodule from a vessel of the same brightness: by its shape and size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FIELD_OF_VIEW = 330.0  # mm
SLICE_SPACING = 5.0  # mm
LUNG_LENGTH = 230.0  # mm from base to apex
LEAST_RADIUS = 9.5  # mm of a nodule, and
LEAST_RADIUS_PIXELS = 2.6  # pixels: what a coarse image can still show as round
LARGEST_RADIUS = 20.0

AIR, FAT, MUSCLE, BLOOD, BONE, MARROW, TABLE = -1000.0, -95.0, 45.0, 45.0, 620.0, 230.0, -480.0  # HU


@dataclass(frozen=True)
class Nodule:
    """A lobed ball in a lung; `density` in HU, `edge` the width of its border in mm."""

    center: np.ndarray  # (3,)
    radius: float
    density: float
    edge: float
    stretch: float
    lobes: np.ndarray  # phases of its two waves of the border, and its angle

    def distance(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Signed distance in the slice at z, −inf where the nodule does not reach it."""
        height = 1 - ((z - self.center[2]) / self.radius) ** 2
        if height <= 0:
            return np.full(np.broadcast(x, y).shape, -np.inf)
        turn = self.lobes[2]
        dx, dy = x - self.center[0], y - self.center[1]
        u = (dx * np.cos(turn) + dy * np.sin(turn)) * self.stretch
        v = (dy * np.cos(turn) - dx * np.sin(turn)) / self.stretch
        angle = np.arctan2(v, u)
        border = 1 + 0.08 * np.cos(2 * angle + self.lobes[0]) + 0.06 * np.cos(3 * angle + self.lobes[1])
        return self.radius * np.sqrt(height) * border - np.hypot(u, v)


@dataclass(frozen=True)
class Chest:
    """One synthetic patient. Make one with `Chest.random`, then take `slice(z, size, generator)`."""

    body: tuple[float, float]  # half axes
    fat: float  # thickness under the skin
    lung: tuple[float, float, float]  # half axes of a lung at its widest, and its distance from the middle
    lung_density: float
    heart: tuple[float, float, float]  # centre and radius
    vessels: np.ndarray  # (n, 8): ends (x, y, z) twice, radii at both
    nodules: tuple[Nodule, ...]
    rib_phase: float
    noise: float  # HU

    @staticmethod
    def random(generator: np.random.Generator, low: float, high: float, pixel: float, nodules: int) -> Chest:
        """A patient whose slices between z = `low` and `high` (mm) will be taken, with `nodules` of them there."""
        draw = generator.uniform
        chest = Chest(
            body=(draw(144, 158), draw(104, 118)),
            fat=draw(6, 15),
            lung=(draw(51, 57), draw(72, 82), draw(65, 70)),
            lung_density=draw(-880, -820),
            heart=(draw(18, 32), draw(-32, -18), draw(36, 46)),
            vessels=np.empty((0, 8)),
            nodules=(),
            rib_phase=draw(0, 1),
            noise=draw(18, 34),
        )
        vessels = np.concatenate([chest._vessel_tree(side, low, high, generator) for side in (-1, 1)])
        chest = _with(chest, vessels=vessels)
        found: list[Nodule] = []
        for _ in range(nodules):
            nodule = chest._random_nodule(found, low, high, pixel, generator)
            if nodule is not None:
                found.append(nodule)
        return _with(chest, nodules=tuple(found))

    def slice(self, z: float, size: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Hounsfield units (size, size) float64 and the mask of nodules (size, size) bool at height z."""
        pixel = FIELD_OF_VIEW / size
        axis = (np.arange(size) + 0.5) * pixel - FIELD_OF_VIEW / 2
        x, y = axis[np.newaxis, :], axis[:, np.newaxis]
        image = self._trunk(x, y, z, pixel)
        lung = self._lung(x, y, z)
        inside = _share(lung, pixel)
        depth = 40 * y / self.body[1]  # the lung is denser where it lies below
        texture = _smooth(generator.standard_normal((size, size)), 2.0) * 90
        parenchyma = self.lung_density + depth + texture
        parenchyma = _over(parenchyma, self._vessel_share(x, y, z, pixel), BLOOD)
        mask = np.zeros((size, size), bool)
        for nodule in self.nodules:
            distance = nodule.distance(x, y, z)
            if distance.max() < 2.3 * pixel:  # a cap too small to tell from a vessel
                continue
            parenchyma = _over(parenchyma, _share(distance, max(nodule.edge, pixel)), nodule.density)
            mask |= (distance > 0) & (lung > 0)
        image = image * (1 - inside) + parenchyma * inside
        noise = _smooth(generator.standard_normal((size, size)), 0.6) * self.noise * 1.7
        return _smooth(image, 0.45) + noise, mask

    def _trunk(self, x: np.ndarray, y: np.ndarray, z: float, pixel: float) -> np.ndarray:
        """All but the lungs: skin to spine, heart, aorta, windpipe, ribs, and the table under the patient."""
        a, b = self.body
        skin = _ellipse(x, y, 0, 0, a, b, power=2.4)
        image = np.full(np.broadcast(x, y).shape, AIR)
        table = 4 - np.abs(y - (b + 9 + (x / 75) ** 2 * -6)) + np.minimum(0, 140 - np.abs(x))
        image = _over(image, _share(table, pixel), TABLE)
        image = _over(image, _share(skin, pixel), FAT)
        image = _over(image, _share(skin - self.fat, pixel), MUSCLE)
        fat = np.minimum(_ellipse(x, y, 0, -0.45 * b, 22, 20), skin - self.fat)  # between heart and breastbone
        image = _over(image, _share(fat, pixel), FAT + 40)
        image = _over(image, _share(self._heart(x, y, z), pixel), BLOOD + 10)
        image = _over(image, _share(_ellipse(x, y, 20, 0.36 * b, 12, 12), pixel), BLOOD + 15)  # descending aorta
        if z > 15:
            image = _over(image, _share(_ellipse(x, y, 2, -0.02 * b, 9, 8), pixel), AIR)  # windpipe
        spine_y = 0.60 * b
        image = _over(image, _share(_ellipse(x, y, 0, spine_y, 20, 16), pixel), BONE)
        image = _over(image, _share(_ellipse(x, y, 0, spine_y, 16, 12), pixel), MARROW)
        image = _over(image, _share(_ellipse(x, y, 0, spine_y + 24, 12, 9), pixel), BONE)
        image = _over(image, _share(_ellipse(x, y, 0, spine_y + 23, 8, 6), pixel), MUSCLE)
        image = _over(image, _share(_ellipse(x, y, 0, 13 + self.fat - b, 19, 5), pixel), BONE - 150)  # breastbone
        return _over(image, _share(self._ribs(x, y, z), pixel), BONE)

    def _heart(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        center_x, center_y, radius = self.heart
        radius = radius * np.sqrt(max(0.05, 1 - ((z + 55) / 85) ** 2))
        return _ellipse(x, y, center_x, center_y, radius * 1.15, radius)

    def _lung(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Signed distance of both lungs: two ovals, flat towards the middle, the heart taken out of the left one."""
        half_width, half_depth, aside = self.lung
        level = np.clip(z / (LUNG_LENGTH / 2), -1, 1)
        scale = np.sqrt(max(0.03, 1 - 0.55 * max(level, 0) ** 2 - 0.18 * min(level, 0) ** 2))
        ovals = np.maximum(
            _ellipse(x, y, -aside, 2, half_width * scale, half_depth * scale, power=2.3),
            _ellipse(x, y, aside, 2, half_width * scale * 0.96, half_depth * scale, power=2.3),
        )
        lung = np.minimum(ovals, np.abs(x) - 12)
        lung = np.minimum(lung, -self._heart(x, y, z) - 3)
        return np.minimum(lung, _ellipse(x, y, 0, 0, *self.body, power=2.4) - self.fat - 15)

    def _ribs(self, x: np.ndarray, y: np.ndarray, z: float) -> np.ndarray:
        """Short bars along the chest wall; ribs slope, so from slice to slice they move around it."""
        a, b = self.body
        ribs = np.full(np.broadcast(x, y).shape, -np.inf)
        for side in (-1, 1):
            for number in range(5):
                angle = np.pi * (0.12 + 0.19 * (number + (self.rib_phase + z / 34) % 1)) - np.pi / 2
                across, along = (a - self.fat - 9) * np.cos(angle), (b - self.fat - 8) * np.sin(angle)
                tangent = np.arctan2(b * np.cos(angle), -a * np.sin(angle))
                dx, dy = side * x - across, y - along
                u, v = dx * np.cos(tangent) + dy * np.sin(tangent), dy * np.cos(tangent) - dx * np.sin(tangent)
                ribs = np.maximum(ribs, _ellipse(u, v, 0, 0, 15, 5))
        return ribs

    def _vessel_tree(self, side: int, low: float, high: float, generator: np.random.Generator) -> np.ndarray:
        """Branches from the root of one lung outwards, getting thinner and forking; some run along z (dots)."""
        segments: list[np.ndarray] = []
        for root_z in np.arange(low - 20, high + 20, 9.0):
            start = np.array([side * generator.uniform(20, 34), generator.uniform(-8, 14), root_z])
            angle = generator.uniform(-1.25, 1.25)
            heading = np.array([side * np.cos(angle), np.sin(angle), generator.normal(0, 0.35)])
            self._grow(segments, start, heading, generator.uniform(3.0, 4.6), generator)
        for _ in range(int((high - low + 40) / 8)):  # vessels that cross the slices
            start = np.array(
                [side * generator.uniform(35, 100), generator.uniform(-60, 60), generator.uniform(low - 20, high + 20)]
            )
            heading = np.array([*generator.normal(0, 0.35, 2), generator.choice((-1.0, 1.0))])
            self._grow(segments, start, heading, generator.uniform(2.0, 3.8), generator)
        return np.array(segments)

    def _grow(
        self,
        segments: list[np.ndarray],
        start: np.ndarray,
        heading: np.ndarray,
        radius: float,
        generator: np.random.Generator,
    ) -> None:
        """Append a wandering branch and its side branches, (x, y, z, x, y, z, r, r) each piece, until it is thin."""
        branches = [(start, heading, radius)]
        while branches and len(segments) < 2000:
            start, heading, radius = branches.pop()
            while radius > 1.1:
                heading = heading + generator.normal(0, 0.22, 3)
                heading = heading / np.linalg.norm(heading)
                end, thinner = start + 9.0 * heading, radius * generator.uniform(0.86, 0.96)
                segments.append(np.array([*start, *end, radius, thinner]))
                if generator.random() < 0.22 and thinner > 1.4:
                    branches.append((end, heading + generator.normal(0, 0.6, 3), thinner * 0.75))
                start, radius = end, thinner

    def _vessel_share(self, x: np.ndarray, y: np.ndarray, z: float, pixel: float) -> np.ndarray:
        """How much of each pixel is vessel: 0 to 1, from the distance to the pieces that come near this slice."""
        share = np.zeros(np.broadcast(x, y).shape)
        near = (np.minimum(self.vessels[:, 2], self.vessels[:, 5]) < z + 6) & (
            np.maximum(self.vessels[:, 2], self.vessels[:, 5]) > z - 6
        )
        for piece in self.vessels[near]:
            start, along, radii = piece[:3], piece[3:6] - piece[:3], piece[6:]
            reach = radii[0] + 2 * pixel
            box = _box(y[:, 0], piece[1], piece[4], reach), _box(x[0], piece[0], piece[3], reach)
            dx, dy, dz = x[:, box[1]] - start[0], y[box[0]] - start[1], z - start[2]
            t = np.clip((dx * along[0] + dy * along[1] + dz * along[2]) / (along @ along), 0, 1)
            away = np.sqrt((dx - t * along[0]) ** 2 + (dy - t * along[1]) ** 2 + (dz - t * along[2]) ** 2)
            radius = radii[0] + t * (radii[1] - radii[0])
            if away.size == 0:
                continue
            # A vessel thinner than a pixel fills only its part of it.
            filled = _share(radius - away, pixel) * np.minimum(1, 2 * radius / pixel)
            share[box] = np.maximum(share[box], filled)
        return share

    def _random_nodule(
        self, others: list[Nodule], low: float, high: float, pixel: float, generator: np.random.Generator
    ) -> Nodule | None:
        """A nodule inside a lung, or (one in three) at its border, apart from the others; None if there is no room."""
        least = max(LEAST_RADIUS, LEAST_RADIUS_PIXELS * pixel)
        for _ in range(300):
            radius = generator.uniform(least, max(LARGEST_RADIUS, 1.5 * least))
            center = np.array([generator.uniform(-125, 125), generator.uniform(-80, 80), generator.uniform(low, high)])
            at_border = generator.random() < 1 / 3
            inside = float(self._lung(center[:1][:, np.newaxis], center[1:2][:, np.newaxis], center[2])[0, 0])
            fits = 0.35 * radius < inside < 0.7 * radius if at_border else inside > 1.1 * radius
            apart = all(np.linalg.norm(center - other.center) > radius + other.radius + 12 for other in others)
            if fits and apart and abs(center[0]) > 45:
                return Nodule(
                    center=center,
                    radius=radius,
                    density=generator.uniform(-380, 60),
                    edge=generator.uniform(1.5, 5.0),
                    stretch=generator.uniform(0.88, 1.14),
                    lobes=generator.uniform(0, 2 * np.pi, 3),
                )
        return None


def _with(chest: Chest, **changes: object) -> Chest:
    from dataclasses import replace

    return replace(chest, **changes)  # type: ignore[arg-type]


def _box(axis: np.ndarray, one: float, other: float, reach: float) -> slice:
    """The pixels of an axis between two places, and `reach` beyond them."""
    first, last = np.searchsorted(axis, (min(one, other) - reach, max(one, other) + reach))
    return slice(int(first), int(last))


def _ellipse(
    x: np.ndarray, y: np.ndarray, center_x: float, center_y: float, a: float, b: float, power: float = 2.0
) -> np.ndarray:
    """About the signed distance to |x/a|^p + |y/b|^p = 1: the value there over the length of its gradient."""
    u, v = np.abs(x - center_x) / a, np.abs(y - center_y) / b
    value = u**power + v**power
    radius = value ** (1 / power)
    slope = np.hypot(u ** (power - 1) / a, v ** (power - 1) / b) / np.maximum(value, 1e-9) ** (1 - 1 / power)
    return (1 - radius) / np.maximum(slope, 1e-3 / max(a, b))


def _share(distance: np.ndarray, width: float) -> np.ndarray:
    """From a signed distance to a share: 0 outside, 1 inside, smoothly within ± width/2 of the border."""
    t = np.clip(distance / width + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def _over(image: np.ndarray, share: np.ndarray, value: float) -> np.ndarray:
    return image + share * (value - image)


def _smooth(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of `sigma` pixels, edges continued."""
    reach = max(1, round(3 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    for axis in (0, 1):
        padded = np.pad(image, [(reach, reach) if one == axis else (0, 0) for one in (0, 1)], mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(kernel), axis=axis)
        image = windows @ kernel
    return image
