"""L1. How much light comes back from each point of the synthetic station: can, lid, disk, floor and wall."""

import numpy as np

from ddad_jax.data import can_labels
from ddad_jax.data.can_scene import DISK_RADIUS, DISK_THICKNESS, LID_RADIUS, WALL_Y, Scene

BOX_DISTANCE = 6.0
BOX_RADIANCE = 9.0
LAMP_ELEVATION = 0.4
STEEL = np.array([0.80, 0.81, 0.83])
WALL_COLOUR = np.array([0.33, 0.335, 0.315])
FLOOR_COLOUR = np.array([0.12, 0.125, 0.13])
DISK_COLOUR = np.array([0.19, 0.185, 0.18])


def smoothstep(low: float, high: float, x: np.ndarray) -> np.ndarray:
    """3 s^2 - 2 s^3 with s = (x - low) / (high - low) clipped to [0, 1]."""
    s = np.clip((x - low) / (high - low), 0.0, 1.0)
    return s * s * (3.0 - 2.0 * s)


def surroundings(scene: Scene, point: np.ndarray, direction: np.ndarray, soft: np.ndarray) -> np.ndarray:
    """Radiance [m] that arrives at `point` along mirrored rays: dim room, bright ceiling, two standing boxes.

    The boxes are patches of a vertical cylinder of radius BOX_DISTANCE round the can, which makes their
    images streaks along a cylinder. `soft` [m] (radians) blurs their edges: small for lacquer, large
    for brushed metal.
    """
    x, y, z = direction.T
    level = np.maximum(np.hypot(x, y), 1e-6)
    azimuth = np.arctan2(x, -y)
    reach = point[:, 2] + BOX_DISTANCE * z / level
    room = 0.05 + 0.28 * smoothstep(-0.6, 0.0, z) + scene.ceiling * smoothstep(0.12, 0.7, z)
    # The door side, where the camera looks in, is dark; one side wall is nearer than the other.
    room *= (1.0 - 0.22 * np.sin(azimuth)) * (1 - 0.45 * np.exp(-((azimuth / 0.3) ** 2)))
    standing = smoothstep(scene.light_low - 0.8, scene.light_low + 0.8, reach) * (1 - smoothstep(6.5, 9.0, reach))
    out = room
    for centre, width, power in zip(scene.light_azimuth, scene.light_width, scene.light_power, strict=True):
        inside = np.clip(0.5 + (width - np.abs(azimuth - centre)) / soft, 0.0, 1.0)
        out = out + BOX_RADIANCE * power * standing * inside * inside * (3 - 2 * inside)
    return out


def irradiance(scene: Scene, point: np.ndarray, normal: np.ndarray, shadow_of: np.ndarray | None) -> np.ndarray:
    """Diffuse light [m]: the room's ambient plus both boxes, cut off softly behind the can for the disk."""
    out = scene.ambient * (0.68 + 0.32 * normal[:, 2])
    for centre, power in zip(scene.light_azimuth, scene.light_power, strict=True):
        flat = np.array([np.sin(centre), -np.cos(centre)])
        lamp = np.array([*(flat * np.cos(LAMP_ELEVATION)), np.sin(LAMP_ELEVATION)])
        lit = 1.2 * power * np.clip((normal @ lamp + 0.08) / 1.08, 0.0, None)
        if shadow_of is not None:
            to_can = shadow_of[:2] - point[:, :2]
            ahead, aside = to_can @ flat, np.abs(to_can @ np.array([-flat[1], flat[0]]))
            lit = lit * (1 - 0.85 * (1 - smoothstep(0.65, 1.2, aside)) * smoothstep(-0.2, 0.5, ahead))
        out = out + lit
    return out


def shade_metal(
    scene: Scene,
    point: np.ndarray,
    normal: np.ndarray,
    view: np.ndarray,
    albedo: np.ndarray,
    metal: np.ndarray,
    gloss: np.ndarray,
) -> np.ndarray:
    """Radiance [m, 3] of printed or bare sheet metal under clear lacquer.

    Ink scatters (albedo x irradiance) and its lacquer mirrors the surroundings at a few per cent, rising
    towards grazing angles (Schlick); bare metal mirrors them in its own colour. Towards the contour the
    far, dark side of the box is mirrored, written as a plain darkening.

    Args:
      point, normal, view: [m, 3] world; view = unit direction of the camera's ray.
      albedo: [m, 3] linear; metal: [m] 0 = ink, 1 = bare; gloss: [m] extra mirror share of fresh paint.
    """
    facing = np.clip(-np.sum(normal * view, axis=1), 0.0, 1.0)
    mirrored = view + 2 * facing[:, None] * normal
    seen = surroundings(scene, point, mirrored, 0.07 + 0.16 * metal)[:, None]
    scatter = irradiance(scene, point, normal, None)[:, None]
    grazing = 0.35 * (1 - facing[:, None]) ** 5
    m, g = metal[:, None], gloss[:, None]
    ink = 0.74 * albedo * scatter + (0.05 + g + 0.13 * albedo + grazing) * seen
    bare = albedo * (0.16 * scatter + 0.62 * seen)
    contour = 1 - 0.7 * (1 - facing[:, None]) ** 2.5
    near_disk = 1 - 0.5 * np.exp(-np.clip(point[:, 2:], 0, None) / 0.22)
    return ((1 - m) * ink + m * bare) * contour * near_disk


def lid_albedo(point: np.ndarray, phase: float) -> np.ndarray:
    """Colour [m, 3] of the lid in the can's frame: steel with grooves and tab, turning with the can."""
    c, s = np.cos(phase), np.sin(phase)
    x, y = c * point[:, 0] + s * point[:, 1], -s * point[:, 0] + c * point[:, 1]
    art = can_labels.lid()
    column = np.clip((x / LID_RADIUS * 0.5 + 0.5) * 128, 0, 127.9).astype(int)
    row = np.clip((0.5 - y / LID_RADIUS * 0.5) * 128, 0, 127.9).astype(int)
    return STEEL * art[row, column, None]


def shade_station(scene: Scene, origin: np.ndarray, direction: np.ndarray, phase: float, can: np.ndarray) -> np.ndarray:
    """Radiance [m, 3] of rays that miss the can: turning disk, its edge, the floor of the box, the back wall.

    Args:
      origin, direction: camera [3] and rays [m, 3], world; can: [3] where the can's bottom stands.
    """
    x, y, z = direction.T
    t_wall = (WALL_Y - origin[1]) / y
    safe = np.minimum(z, -1e-9)
    t_floor, t_disk = (-DISK_THICKNESS - origin[2]) / safe, -origin[2] / safe
    a, b = x * x + y * y, origin[0] * x + origin[1] * y
    cut = b * b - a * (origin[0] ** 2 + origin[1] ** 2 - DISK_RADIUS**2)
    t_edge = (-b - np.sqrt(np.maximum(cut, 0))) / a
    edge_z = origin[2] + t_edge * z
    on_disk = np.hypot(origin[0] + t_disk * x, origin[1] + t_disk * y) <= DISK_RADIUS
    on_edge = ~on_disk & (cut > 0) & (edge_z <= 0) & (edge_z >= -DISK_THICKNESS)
    on_floor = ~on_disk & ~on_edge & (t_floor < t_wall)
    on_wall = ~(on_disk | on_edge | on_floor)
    out = np.empty_like(direction)
    for region, t, shade in ((on_disk, t_disk, _disk), (on_edge, t_edge, _edge), (on_floor, t_floor, _floor),
                             (on_wall, t_wall, _wall)):  # fmt: skip
        out[region] = shade(scene, origin + t[region, None] * direction[region], phase, can)
    return out


def _wall(scene: Scene, p: np.ndarray, phase: float, can: np.ndarray) -> np.ndarray:
    """The back board, lit by the boxes' glow from both sides and darker towards the floor."""
    grain = can_labels.sample(
        can_labels.wall(scene.wall_seed), (p[:, 0] / 9.0 + 0.5) * 128, (0.75 - p[:, 2] / 7.0) * 128
    )
    glow = np.full(len(p), 0.55 * scene.ambient)
    for power, side in zip(scene.light_power, (-3.2, 3.2), strict=True):
        glow = glow + 0.75 * power * np.exp(-(((p[:, 0] - side) / 2.6) ** 2))
    return WALL_COLOUR * (grain * np.clip(glow * (0.72 + 0.13 * p[:, 2]), 0.05, None))[:, None]


def _floor(scene: Scene, p: np.ndarray, phase: float, can: np.ndarray) -> np.ndarray:
    """The box's floor with the shade under the disk and in the corner to the wall."""
    under = 1 - 0.75 * (1 - smoothstep(DISK_RADIUS - 0.1, DISK_RADIUS + 0.55, np.hypot(p[:, 0], p[:, 1])))
    corner = 0.45 + 0.55 * smoothstep(0.0, 1.6, WALL_Y - p[:, 1])
    return FLOOR_COLOUR * (irradiance(scene, p, _up(p), can) * under * corner)[:, None]


def _edge(scene: Scene, p: np.ndarray, phase: float, can: np.ndarray) -> np.ndarray:
    """The disk's rim with dark ticks that turn."""
    n = np.column_stack([p[:, 0] / DISK_RADIUS, p[:, 1] / DISK_RADIUS, np.zeros(len(p))])
    ticks = 1 - 0.3 * (np.cos(24 * (np.arctan2(p[:, 1], p[:, 0]) - phase)) > 0.75)
    return 0.8 * DISK_COLOUR * (irradiance(scene, p, n, None) * ticks)[:, None]


def _disk(scene: Scene, p: np.ndarray, phase: float, can: np.ndarray) -> np.ndarray:
    """The disk's top: turned rings, a groove, one white mark that turns, the can's contact shadow."""
    rho, angle = np.hypot(p[:, 0], p[:, 1]), np.arctan2(p[:, 1], p[:, 0]) - phase
    tone = 1 + 0.07 * np.sin(31 * rho) + 0.05 * np.sin(2 * angle + 0.7) - 0.35 * (np.abs(rho - 1.62) < 0.035)
    tone += 0.9 * ((np.abs(np.mod(angle + np.pi, 2 * np.pi) - np.pi) < 0.05) & (rho > 1.62))
    contact = 1 - 0.8 * np.exp(-np.clip(np.hypot(*(p[:, :2] - can[:2]).T) - 0.78, 0, None) / 0.2)
    bright = irradiance(scene, p, _up(p), can) * contact * tone
    bright += 0.25 * smoothstep(DISK_RADIUS - 0.07, DISK_RADIUS - 0.02, rho)
    return DISK_COLOUR * bright[:, None]


def _up(p: np.ndarray) -> np.ndarray:
    return np.broadcast_to([0.0, 0.0, 1.0], p.shape)
