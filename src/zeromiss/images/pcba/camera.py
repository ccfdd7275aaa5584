"""Light and camera: from colour and relief to the picture, noise last."""

import math

import cv2
import numpy as np

from zeromiss.images.pcba.canvas import Canvas
from zeromiss.images.pcba.scene import Light

_COUNT = 0.5 / 256.0  # world units of height in one 16-bit count


def _direction(azimuth: float, elevation: float) -> tuple[float, float, float]:
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.cos(a) * math.cos(e), math.sin(a) * math.cos(e), math.sin(e)


def _odd(sigma: float) -> int:
    return 2 * max(1, math.ceil(2.5 * sigma)) + 1


def _normals(height: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the surface normal's x, y, z, each (N, N) float32, from 16-bit heights."""
    sigma = max(0.8, 1.9 * scale)
    smooth = cv2.GaussianBlur(height, (_odd(sigma), _odd(sigma)), sigma).astype(np.float32)
    factor = np.float32(_COUNT * scale / 2.0)
    gx, gy = np.zeros_like(smooth), np.zeros_like(smooth)
    np.subtract(smooth[:, :-2], smooth[:, 2:], out=gx[:, 1:-1])
    np.subtract(smooth[:-2], smooth[2:], out=gy[1:-1])
    gx *= factor
    gy *= factor
    nz = gx * gx
    nz += gy * gy
    nz += np.float32(1.0)
    np.sqrt(nz, out=nz)
    np.divide(np.float32(1.0), nz, out=nz)
    gx *= nz
    gy *= nz
    return gx, gy, nz


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
    gloss = canvas.relief[..., 1].astype(np.float32) * np.float32(1 / 255)
    metal = canvas.relief[..., 2].astype(np.float32) * np.float32(1 / 255)
    normals = _normals(height, canvas.scale)
    diffuse = _lobe(normals, _direction(light.azimuth, 48.0), 0) * np.float32(0.62 * light.key)
    diffuse += _lobe(normals, _direction(light.azimuth + 150.0, 40.0), 0) * np.float32(0.3)
    diffuse += np.float32(0.30)
    # A mirror facing the camera reflects the dark of its lens: metal is lit by its lobes.
    flat = diffuse * (np.float32(1.0) - np.float32(0.36) * metal) * _occlusion(height, canvas.scale, light)
    glare = _lobe(normals, _direction(light.azimuth, 67.0), 5) * np.float32(1.25 * light.key)
    glare += _lobe(normals, _direction(light.azimuth + 120.0, 64.0), 4) * np.float32(0.6)
    glare += _lobe(normals, _direction(light.azimuth + 235.0, 64.0), 4) * np.float32(0.6)
    glare *= gloss * gloss * np.float32(185.0) * (np.float32(0.25) + np.float32(0.75) * metal)
    picture = cv2.multiply(canvas.albedo, cv2.merge([flat, flat, flat]), dtype=cv2.CV_32F)
    picture = cv2.add(picture, cv2.merge([glare, glare, glare]))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


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
