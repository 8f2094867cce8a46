"""Files are written whole or not at all, and what is no file is not replaced by one."""

import os
import threading

import pytest

import jaxhpt
from jaxhpt.core.files import OPEN, write_text, writing


def test_an_error_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a"
    write_text(path, "old\u2028")

    def broken():
        with writing(path) as file:
            file.write(b"new")
            _ = 1 / 0

    with pytest.raises(ZeroDivisionError):
        broken()
    assert path.read_text("utf-8") == "old\u2028"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_one(tmp_path):
    there, link = tmp_path / "there", tmp_path / "link"
    there.write_text("old")
    link.symlink_to(there)
    write_text(link, "new", OPEN)
    assert link.is_symlink()
    assert there.read_text() == "new"


def test_a_pipe_is_written_to(tmp_path):
    path, told = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: told.append(path.read_text()))
    reader.start()
    write_text(path, "text")
    reader.join(10)
    assert told == ["text"]
    assert path.is_fifo()


def test_a_result_that_cannot_be_saved_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "one.npz"
    result = jaxhpt.minimize(lambda h, key: h["x"], {"x": jaxhpt.Float(0, 1)}, trials=8, progress=False)
    result.save(path)

    def full(file, **arrays):
        file.write(b"some")
        raise OSError("no space left")

    monkeypatch.setattr("numpy.savez", full)
    with pytest.raises(OSError, match="no space left"):
        result.save(path)
    assert jaxhpt.load(path).best == result.best
