"""Inspections at the same time: each has a folder of its own with its own verdicts, and no row of the data set is lost."""

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tasks import inspect
from tests.inspection_parts import SIZE, mean_inspector
from tests.workspace_parts import PROFILE

PROCESSES = 8
ROUNDS = int(os.environ.get("ZEROMISS_TEST_ROUNDS", "2"))  # by hand: 50
IMAGES = 2  # of each process a round
FORK = multiprocessing.get_context("fork")  # all is imported once


def draw(folder, owner, turn):
    """Draw images that nobody else has: owner, round and number are in the first pixels, the rest is grey."""
    folder.mkdir(parents=True)
    for number in range(IMAGES):
        pixels = np.full((SIZE, SIZE), 10 * owner + 5, np.uint8)
        pixels[0, :3] = owner, turn, number
        Image.fromarray(pixels).save(folder / f"part-{number}.png")  # the same names in every folder


def inspect_again_and_again(root, owner, rounds, together, found):
    """Inspect one's own folder each round, at the same moment as all others, and tell which folder it was written to."""
    inspect._in_charge = lambda product, workspace: (mean_inspector(), "zeromiss-toy version 7")
    for turn in range(rounds):
        together.wait(120)
        done = inspect.judge_to_folder("toy", root, [root / "in" / f"{owner}-{turn}"])
        found.put((owner, turn, done["folder"], done["images"], done["errors"]))


def test_inspections_at_the_same_time_each_keep_their_own_rows(tmp_path):
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "params.yaml").write_text(PROFILE + "  toy: {source: {kind: mvtec, path: in}, profile: quick}\n")
    for owner in range(PROCESSES):
        for turn in range(ROUNDS):
            draw(tmp_path / "in" / f"{owner}-{turn}", owner, turn)
    together, found = FORK.Barrier(PROCESSES), FORK.Queue()
    started = [FORK.Process(target=inspect_again_and_again, args=(tmp_path, owner, ROUNDS, together, found)) for owner in range(PROCESSES)]
    for one in started:
        one.start()
    told = [found.get(timeout=300) for _ in range(PROCESSES * ROUNDS)]
    for one in started:
        one.join(60)
    assert [one.exitcode for one in started] == [0] * PROCESSES
    parent = tmp_path / "data" / "09_inspection" / "toy"
    assert sorted(os.listdir(parent)) == sorted(Path(folder).name for _, _, folder, _, _ in told)  # no two the same, nothing left over
    for owner, turn, folder, images, errors in told:
        assert (images, errors) == (IMAGES, 0)
        table = pq.read_table(Path(folder) / "verdicts.parquet").to_pylist()
        assert [row["path"] for row in table] == [str(tmp_path / "in" / f"{owner}-{turn}" / f"part-{number}.png") for number in range(IMAGES)]
        grey = ((SIZE * SIZE - 3) * (10 * owner + 5) + owner + turn) / (255 * SIZE * SIZE)
        assert table[0]["score"] == pytest.approx(grey, abs=1e-6)  # its own pixels were judged
        assert all((Path(folder) / row["overlay"]).is_file() for row in table)
        assert len(os.listdir(Path(folder) / "overlays")) == IMAGES
    kept = pq.ParquetDataset(tmp_path / "data" / "15_verdicts" / "toy").read().to_pylist()
    of_folders = [row["sha256"] for _, _, folder, _, _ in told for row in pq.read_table(Path(folder) / "verdicts.parquet").to_pylist()]
    assert sorted(row["sha256"] for row in kept) == sorted(of_folders) and len(set(of_folders)) == PROCESSES * ROUNDS * IMAGES
