"""A repository that belongs to another user is not called none: the sentence says what git wants."""

import re
import subprocess

import pytest

from tasks.git import head_text
from zeromiss.errors import ZeromissError


def test_a_repository_of_another_user_and_a_folder_that_is_none_get_their_own_advice(tmp_path, monkeypatch):
    with pytest.raises(ZeromissError, match=f"{re.escape(str(tmp_path))} is no git repository"):
        head_text(tmp_path, tmp_path / "a.dvc")
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert head_text(tmp_path, tmp_path / "a.dvc") is None
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("HOME", str(tmp_path))  # no safe.directory of this machine's
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    with pytest.raises(ZeromissError, match="belongs to another user, so that git refuses it: git config --global --add safe.directory"):
        head_text(tmp_path, tmp_path / "a.dvc")
