"""Files are removed a bounded number of bytes at a time, whatever they are."""

from __future__ import annotations

import itertools
import os

import pytest

from LightRegistrationLib.worker.removal import remove_some

from ..processes import ends


def count_bytes(folder) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def test_a_folder_becomes_smaller_by_a_bounded_number_of_bytes_until_it_is_gone(tmp_path):
    folder, other = tmp_path / "session", tmp_path / "other"
    (folder / "request-1").mkdir(parents=True)
    (folder / "request-1" / "0.npy").write_bytes(bytes(1000))
    (folder / "request-1" / "1.npy").write_bytes(bytes(30))
    (folder / "empty").mkdir()
    other.write_bytes(bytes(500))
    (folder / "link").symlink_to(other)
    sizes = [count_bytes(folder)]
    while not remove_some(folder, 100):
        sizes.append(count_bytes(folder))
        assert len(sizes) < 50
    steps = [before - after for before, after in itertools.pairwise(sizes)]
    assert max(steps) <= 100 + 30
    assert len(steps) > 9
    assert not folder.exists()
    assert other.stat().st_size == 500, "what a link leads to stays"
    assert remove_some(folder, 100), "a folder that is gone"


def test_a_killed_worker_leaves_its_folder_to_later_polls(watched, request_of_blobs, monkeypatch):
    client = watched.client
    client.submit(request_of_blobs)
    client.poll()
    folder, process = client.session_folder, client.process_id
    (folder / "large.npy").write_bytes(bytes(1 << 20))
    monkeypatch.setattr("LightRegistrationLib.worker.session.remove_some", lambda folder: remove_some(folder, 1 << 18))
    client.kill()
    assert client.process_id is None
    assert client.is_cleaning
    assert folder.exists(), "nothing is waited for"
    assert ends(process)
    polls = 0
    while client.is_cleaning:
        assert client.poll() == []
        polls += 1
    assert polls >= 4
    assert not folder.exists()


def test_closing_the_client_removes_all_at_once(watched, request_of_blobs):
    client = watched.client
    client.submit(request_of_blobs)
    client.poll()
    first = client.session_folder
    client.kill()
    client.start()
    second, process = client.session_folder, client.process_id
    client.close()
    assert ends(process)
    assert not first.exists()
    assert not second.exists()
    assert not client.is_cleaning


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom the system refuses something")
def test_what_cannot_be_removed_yet_is_tried_again(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    (folder / "0.npy").write_bytes(bytes(10))
    folder.chmod(0o500)
    assert not remove_some(folder)
    folder.chmod(0o700)
    assert remove_some(folder)
