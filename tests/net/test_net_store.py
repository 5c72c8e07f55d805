import os
import stat

import pytest

from net.errors import KeyFileError, NetError
from net.store import read_keys, read_payload, write_keys, write_whole

posix_only = pytest.mark.skipif(os.name != "posix", reason="modes are a matter of POSIX")


@posix_only
def test_a_key_file_is_its_owners_alone_and_comes_back(tmp_path, make_keys):
    path, keys = tmp_path / "bank.key", make_keys("bank")
    write_keys(path, keys)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_keys(path) == keys


@posix_only
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_open_is_refused(tmp_path, make_keys, mode):
    path = tmp_path / "bank.key"
    write_keys(path, make_keys("bank"))
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="chmod 600"):
        read_keys(path)


def test_a_key_file_is_never_overwritten(tmp_path, make_keys):
    path = tmp_path / "bank.key"
    write_keys(path, make_keys("bank"))
    with pytest.raises(KeyFileError, match="already"):
        write_keys(path, make_keys("other"))
    assert read_keys(path) == make_keys("bank")


@pytest.mark.parametrize("text", ["", "identity = 3", 'identity = "00"\ntls_root = "00"', "\xff not TOML"])
def test_a_damaged_key_file_is_named_and_its_content_is_not_shown(tmp_path, text):
    path = tmp_path / "bank.key"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match=r"bank\.key: not a key file"):
        read_keys(path)


def test_a_missing_key_file_is_named(tmp_path):
    with pytest.raises(KeyFileError, match="cannot be read: No such file"):
        read_keys(tmp_path / "bank.key")


def test_a_payload_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "model.npz"
    assert read_payload(path) is None
    write_whole(path, b"one")
    write_whole(path, b"two")
    assert read_payload(path) == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_payload(tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    write_whole(path, b"one")

    def disk_is_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(NetError, match="cannot be written: No space left"):
        write_whole(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_an_error_for_people(tmp_path):
    with pytest.raises(NetError, match="cannot be written"):
        write_whole(tmp_path / "no" / "model.npz", b"")
    with pytest.raises(NetError, match="cannot be read"):
        read_payload(tmp_path)
