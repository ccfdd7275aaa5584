"""Metrics of the whole image: mean squared error by hand and the ORB matching difference."""

import cv2
import numpy as np
import pytest

from zeromiss.metrics.image_level import mse, orb_difference


def blobs(seed: int, side: int = 160) -> np.ndarray:
    """Draw grey discs and bars with corners to find, (3, side, side) in [0, 1]."""
    rng = np.random.default_rng(seed)
    canvas = np.full((side, side), 40, np.uint8)
    for _ in range(25):
        x, y, w, h = (int(value) for value in (*rng.integers(20, side - 40, 2), *rng.integers(5, 20, 2)))
        cv2.rectangle(canvas, (x, y), (x + w, y + h), int(rng.integers(80, 255)), -1)
    return np.repeat(canvas[None].astype(np.float32) / 255, 3, axis=0)


def test_mse_by_hand() -> None:
    x, x_hat = np.zeros((3, 2, 2), np.float32), np.zeros((3, 2, 2), np.float32)
    x_hat[0] = 0.5
    assert mse(x, x_hat) == pytest.approx(0.25 / 3)


def test_an_image_matches_itself() -> None:
    assert orb_difference(blobs(0), blobs(0)) == (0.0, False)


def test_another_image_matches_less() -> None:
    difference, no_keypoints = orb_difference(blobs(0), blobs(1))
    assert 0.3 < difference <= 1.0 and not no_keypoints


def test_the_difference_grows_with_what_is_erased() -> None:
    x = blobs(2)
    slightly, mostly = x.copy(), x.copy()
    slightly[:, :60, :60] = 40 / 255
    mostly[:, :110] = 40 / 255
    found = [orb_difference(x, image)[0] for image in (x, slightly, mostly)]
    assert found == sorted(found) and found[0] < found[1] < found[2]


def test_without_keypoints_the_flag_is_set() -> None:
    flat = np.full((3, 96, 96), 0.5, np.float32)
    assert orb_difference(flat, blobs(0, 96)) == (0.0, True)


def test_a_reconstruction_without_keypoints_matches_nothing() -> None:
    assert orb_difference(blobs(0), np.full((3, 160, 160), 0.5, np.float32)) == (1.0, False)


def test_an_image_too_small_for_orb_has_no_keypoints() -> None:
    assert orb_difference(blobs(0)[:, :32, :32], blobs(0)[:, :32, :32]) == (0.0, True)


def test_the_same_pair_gives_the_same_number() -> None:
    x, x_hat = blobs(3), np.clip(blobs(3) + np.random.default_rng(0).normal(0, 0.05, (3, 160, 160)), 0, 1).astype(np.float32)
    assert len({orb_difference(x, x_hat) for _ in range(5)}) == 1
