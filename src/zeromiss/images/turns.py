"""By how much a picture is turned against another, where no axis of a shape says it: candidates, to be tried.

Grey float32 arrays. Degrees are clockwise as seen on a screen, from the reference to the image. Axes: H rows, W columns,
A angles, R radii.
"""

import cv2
import numpy as np

_ANGLES = 720  # rows of a picture in polar coordinates: half a degree each
_RADII = 128
_SMOOTH = 0.03  # share of the radius below which a change says nothing
_APART = 10.0  # degrees between two candidates
_FREQUENCIES = 256  # pixels a side of the picture whose spectrum is compared
_LOWEST, _HIGHEST = 0.02, 0.45  # cycles a pixel between which spectra are compared


def turns_around(reference_HW: np.ndarray, centre: np.ndarray, image_HW: np.ndarray, image_centre: np.ndarray, radius: float, *, count: int = 4) -> list[float]:
    """Return up to `count` turns, the most likely first, of what lies within `radius` pixels of a known centre (x, y) in both.

    Correlation over all angles of the two pictures in polar coordinates; turns are in [0, 360).
    """
    polar = [_polar(one_HW, place, radius) for one_HW, place in ((reference_HW, centre), (image_HW, image_centre))]
    spectra = [np.fft.rfft(one_AR, axis=0) for one_AR in polar]
    scores_A = np.fft.irfft((np.conj(spectra[0]) * spectra[1]).sum(axis=1), n=_ANGLES)
    found: list[float] = []
    step = 360.0 / _ANGLES
    for place in np.argsort(scores_A)[::-1]:
        degrees = float(place * step)
        if all(min(abs(degrees - other), 360.0 - abs(degrees - other)) >= _APART for other in found):
            found.append(degrees)
        if len(found) == count:
            break
    return found


def angular_deviation(image_HW: np.ndarray, centre: np.ndarray, radius: float) -> float:
    """Return by how much grey values change around a centre (x, y): the root of the mean variance over the angle, >= 0."""
    smooth_HW = cv2.GaussianBlur(image_HW, (0, 0), max(1.0, _SMOOTH * radius), borderType=cv2.BORDER_REPLICATE)  # the camera's noise is no mark
    return float(np.sqrt(np.square(_polar(smooth_HW, centre, radius)).mean()))


def turns_of_spectra(reference_HW: np.ndarray, image_HW: np.ndarray) -> list[float]:
    """Return the two turns, half a circle apart, by log-polar phase correlation of both pictures' magnitude spectra.

    A spectrum's magnitude turns with the picture and does not move with it; it cannot tell a picture from one turned by
    180 degrees.
    """
    polar = [_log_polar(one_HW) for one_HW in (reference_HW, image_HW)]
    (_, rows), _ = cv2.phaseCorrelate(*polar)
    degrees = rows * 180.0 / len(polar[0])
    return [degrees % 360.0, (degrees + 180.0) % 360.0]


def _polar(image_HW: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Return what lies around a centre as (A, R), each radius's mean taken off, weighed by the area that it stands for."""
    flags = cv2.INTER_LINEAR | cv2.WARP_POLAR_LINEAR
    polar_AR = cv2.warpPolar(image_HW, (_RADII, _ANGLES), (float(centre[0]), float(centre[1])), float(radius), flags)
    return (polar_AR - polar_AR.mean(axis=0)) * np.sqrt((np.arange(_RADII, dtype=np.float32) + 0.5) / (_RADII / 2))


def _log_polar(image_HW: np.ndarray) -> np.ndarray:
    """Return half of the magnitude spectrum of a picture's middle square as (A, R): angles over half a circle, log radii."""
    height, width = image_HW.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = cv2.resize(image_HW[top : top + side, left : left + side], (_FREQUENCIES, _FREQUENCIES), interpolation=cv2.INTER_AREA)
    window = cv2.createHanningWindow((_FREQUENCIES, _FREQUENCIES), cv2.CV_32F)
    magnitude = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2((square - square.mean()) * window)))).astype(np.float32)
    middle, flags = (_FREQUENCIES / 2, _FREQUENCIES / 2), cv2.INTER_LINEAR | cv2.WARP_POLAR_LOG
    polar_AR = cv2.warpPolar(magnitude, (_RADII, _ANGLES), middle, _HIGHEST * _FREQUENCIES, flags)
    first = int(_RADII * np.log(_LOWEST * _FREQUENCIES) / np.log(_HIGHEST * _FREQUENCIES))
    half_AR = polar_AR[: _ANGLES // 2, first:]
    return np.ascontiguousarray(half_AR - half_AR.mean(axis=0))
