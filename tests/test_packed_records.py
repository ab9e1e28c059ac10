"""Records as columns are the records they were made from."""

import pickle
from pathlib import Path

import pytest

from benchbox.data.packed_records import PackedRecords
from benchbox.data.protocol import ImageRecord

RECORDS = tuple(
    ImageRecord(
        # A name that is no UTF-8, as old archives have; a common beginning that cuts a letter.
        Path(f"/data/gallery/{'äö'[number % 2]}{number}\udcff.jpg"),
        pid=number - 1,
        camid=number % 3,
        view=None if number % 2 else number - 5,
        place=None if number % 3 else f"gallery/{number}",
    )
    for number in range(50)
)


@pytest.mark.parametrize("records", [RECORDS, RECORDS[:1], ()], ids=len)
def test_packed_records_are_what_was_packed(records):
    packed = PackedRecords(records)
    assert len(packed) == len(records)
    assert tuple(packed) == records
    assert packed == records
    assert records == packed
    assert hash(packed) == hash(records)
    assert pickle.loads(pickle.dumps(packed)) == records
    with pytest.raises(IndexError):
        packed[len(records)]


def test_places_and_slices_are_a_tuples():
    packed = PackedRecords(RECORDS)
    assert packed[7] == RECORDS[7]
    assert packed[-1] == RECORDS[-1]
    for rows in (slice(3, 9), slice(45, 90), slice(None, None, 7), slice(9, 3)):
        assert packed[rows] == RECORDS[rows]
    assert packed != RECORDS[1:]
    assert RECORDS[4] in packed


def test_a_packed_record_takes_a_fraction_of_an_object():
    packed = PackedRecords(RECORDS * 200)
    assert len(pickle.dumps(packed)) < 60 * len(packed)
