"""Light and camera: from colour and relief to the picture, noise last."""

import math

import cv2
import numpy as np

from zeromiss.images.pcba.canvas import Canvas
from zeromiss.images.pcba.scene import Light

_BAND = 48  # rows
_COUNT = 0.5 / 256.0  # world units of height in one 16-bit count


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)


def _odd(sigma: float) -> int:
    return 2 * max(1, math.ceil(2.5 * sigma)) + 1


def _normals(smooth: np.ndarray, factor: np.float32) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the surface normal's x, y, z, each (H, W) float32, from heights (H + 2, W + 2)."""
    nx = np.subtract(smooth[1:-1, :-2], smooth[1:-1, 2:])
    ny = np.subtract(smooth[:-2, 1:-1], smooth[2:, 1:-1])
    nx *= factor
    ny *= factor
    nz = nx * nx
    nz += ny * ny
    nz += np.float32(1.0)
    np.sqrt(nz, out=nz)
    np.divide(np.float32(1.0), nz, out=nz)
    nx *= nz
    ny *= nz
    return nx, ny, nz


def _occlusion(height: np.ndarray, scale: float, light: Light) -> np.ndarray:
    """Return the share of light (N, N) float32 that tall neighbours leave, darker away from the key light."""
    step = 4
    small = np.ascontiguousarray(height[::step, ::step])
    reach = 9.0 * scale / step
    near = cv2.GaussianBlur(small, (_odd(reach), _odd(reach)), reach)
    dx, dy, _ = _direction(light.azimuth, 0.0)
    shift = (round(-dx * 8.0 * scale / step), round(-dy * 8.0 * scale / step))
    moved = np.roll(near, (shift[1], shift[0]), axis=(0, 1))
    deep = (near.astype(np.int32) + 2 * moved) // 3
    wide = cv2.resize(deep.astype(np.uint16), height.shape[::-1], interpolation=cv2.INTER_LINEAR_EXACT)
    gap = cv2.subtract(wide, height).astype(np.float32)
    gap *= np.float32(1.0 / (256.0 * 34.0))
    np.minimum(gap, np.float32(0.62), out=gap)
    return np.float32(1.0) - gap


def _lobe(normals: tuple[np.ndarray, ...], direction: tuple[float, float, float], doublings: int) -> np.ndarray:
    """Return max(0, n . d) to the power of 2 ** doublings."""
    lobe = normals[0] * np.float32(direction[0])
    lobe += normals[1] * np.float32(direction[1])
    lobe += normals[2] * np.float32(direction[2])
    np.maximum(lobe, np.float32(0.0), out=lobe)
    for _ in range(doublings):
        np.square(lobe, out=lobe)
    return lobe


def shade(canvas: Canvas, light: Light) -> np.ndarray:
    """Return the lit board at drawing resolution, (N, N, 3) uint8."""
    height = canvas.relief[..., 0].astype(np.uint16) << 8
    sigma = max(0.8, 1.9 * canvas.scale)
    smooth = cv2.GaussianBlur(height, (_odd(sigma), _odd(sigma)), sigma)
    smooth = cv2.copyMakeBorder(smooth, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    open_sky = _occlusion(height, canvas.scale, light)
    lit = np.empty_like(canvas.albedo)
    for top in range(0, len(height), _BAND):  # bands fit the processor's cache
        rows = slice(top, min(top + _BAND, len(height)))
        normals = _normals(smooth[rows.start : rows.stop + 2].astype(np.float32), np.float32(_COUNT * canvas.scale / 2.0))
        lit[rows] = _shade_band(canvas.albedo[rows], canvas.relief[rows], normals, open_sky[rows], light)
    return lit


def _shade_band(albedo: np.ndarray, relief: np.ndarray, normals: tuple[np.ndarray, ...], open_sky: np.ndarray, light: Light) -> np.ndarray:
    """Return lit rows, uint8: matte light times colour, plus the lobes of three lamps on what shines."""
    gloss = relief[..., 1].astype(np.float32)
    metal = relief[..., 2].astype(np.float32)
    flat = _lobe(normals, _direction(light.azimuth, 48.0), 0)
    flat *= np.float32(0.62 * light.key)
    flat += _lobe(normals, _direction(light.azimuth + 150.0, 40.0), 0) * np.float32(0.3)
    flat += np.float32(0.30)
    # A mirror facing the camera reflects the dark of its lens: metal is lit by its lobes.
    flat *= np.float32(1.0) - np.float32(0.36 / 255) * metal
    flat *= open_sky
    glare = _lobe(normals, _direction(light.azimuth, 67.0), 5)
    glare *= np.float32(1.25 * light.key)
    for turn in (120.0, 235.0):
        glare += _lobe(normals, _direction(light.azimuth + turn, 64.0), 4) * np.float32(0.6)
    glare *= gloss * gloss
    glare *= metal * np.float32(0.75 / 255 * 185 / 255**2) + np.float32(0.25 * 185 / 255**2)
    picture = cv2.multiply(albedo, cv2.merge([flat, flat, flat]), dtype=cv2.CV_32F)
    picture += cv2.merge([glare, glare, glare])
    np.clip(picture, 0, 255, out=picture)
    return np.rint(picture, out=picture).astype(np.uint8)


def expose(lit: np.ndarray, light: Light, *, side: int, margin: int, supersampling: int) -> np.ndarray:
    """Return the picture before noise, (side, side, 3) float32: shrunk, unevenly lit, slightly blurred."""
    x, y = (round(margin + shift * supersampling) for shift in light.offset)
    window = np.ascontiguousarray(lit[y : y + side * supersampling, x : x + side * supersampling])
    small = cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    across = ((np.arange(side, dtype=np.float32) + 0.5) / np.float32(side)) * 2 - 1
    radius = across[None, :] ** 2 + across[:, None] ** 2
    falloff = 1 - np.float32(light.vignette / 2) * radius
    falloff += np.float32(light.gradient[0]) * across[None, :] + np.float32(light.gradient[1]) * across[:, None]
    for channel, tint in enumerate((1 + light.warmth, 1.0, 1 - light.warmth)):
        small[..., channel] *= falloff * np.float32(light.exposure * tint)
    counts = np.clip(np.rint(small * np.float32(256 * 1.08)), 0, 65535).astype(np.uint16)
    return cv2.GaussianBlur(counts, (5, 5), light.blur).astype(np.float32) * np.float32(1 / 256)


def noise(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the sensor's noise of one exposure, (side, side, 3) float32: read noise and unit shot noise."""
    shape = (side, side, 3)
    read = rng.standard_normal(shape, dtype=np.float32) * np.float32(1.1)
    return read, rng.standard_normal((side, side, 1), dtype=np.float32)


def develop(picture: np.ndarray, grains: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Return the final picture, uint8: noise that grows with the root of the light, then 8 bits."""
    read, shot = grains
    noisy = picture + read + shot * np.sqrt(picture) * np.float32(0.11)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
