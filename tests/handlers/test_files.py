from handlers.files import write_once
from triggers import Place


def test_what_is_written_once_stays_as_it_was(tmp_path):
    place = Place(tmp_path)
    assert write_once(place, "file", b"one")
    assert not write_once(place, "file", b"two")
    assert place.read("file") == b"one"
