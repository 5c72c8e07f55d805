import io
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fl_integration.layout import META, Layout, LayoutError, PayloadError, dump_payload, load_payload
from mpc.encoding import EncodingError, uniform, whole_numbers

TENSORS = {
    "weights": np.arange(6, dtype=np.float32).reshape(2, 3),
    "half": np.array([0.5, -1.5], dtype=np.float16),
    "double": np.array([[1e-3]], dtype=np.float64),
    "batches": np.array(7, dtype=np.int64),
    "mask": np.array([True, False]),
    "empty": np.zeros((0, 4), dtype=np.float32),
}
LAYOUT = Layout.of(TENSORS)

dtypes = st.sampled_from(["f2", "f4", "f8", "i1", "u2", "i8", "b1"])
arrays = dtypes.flatmap(
    lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, max_side=3), elements=st.integers(0, 1))
)
named = st.dictionaries(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), arrays, max_size=4)


def changed(**tensors):
    return {**TENSORS, **tensors}


def assert_same(found, wanted):
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert np.array_equal(found[name], tensor)


def test_tensors_come_back_in_their_shapes_types_and_order():
    vector = LAYOUT.flatten(TENSORS)
    assert vector.dtype == np.float32
    assert vector.shape == (LAYOUT.length,) == (12,)
    assert_same(
        LAYOUT.unflatten(vector) | {"double": TENSORS["double"]},
        TENSORS,
    )
    assert LAYOUT.unflatten(vector)["double"] == pytest.approx(1e-3, rel=1e-7)


def test_the_order_of_the_vector_is_the_order_of_the_first_mapping_and_c_order_within():
    fortran = changed(weights=np.asfortranarray(TENSORS["weights"]))
    shuffled = dict(reversed(fortran.items()))
    assert np.array_equal(LAYOUT.flatten(shuffled), LAYOUT.flatten(TENSORS))
    assert LAYOUT.flatten(TENSORS)[:6].tolist() == [0, 1, 2, 3, 4, 5]


def test_the_spans_of_an_update_give_whole_numbers_one_level_a_unit():
    found = LAYOUT.spans(0.5, 12)
    assert found == (*uniform(9, 0.5), whole_numbers(3, 12))  # neighbours of one range are one span, empty ones none
    mixed = {"a": np.zeros(2), "b": np.zeros(3, np.uint8), "c": np.zeros((2, 2), bool), "d": np.float32(0)}
    assert Layout.of(mixed).spans(1.0, 8) == (*uniform(2, 1.0), whole_numbers(7, 8), *uniform(1, 1.0))
    assert Layout.of({}).spans(1.0, 8) == ()
    with pytest.raises(EncodingError, match="low < high"):
        LAYOUT.spans(0.0, 12)


def test_whole_numbers_are_averaged_and_rounded_back():
    layout = Layout.of({"batches": np.array([3, 4], dtype=np.int64)})
    restored = layout.unflatten(np.array([3.6, -0.4], dtype=np.float32))
    assert_same(restored, {"batches": np.array([4, 0], dtype=np.int64)})


def test_a_model_moves_by_a_difference_without_loss_in_large_counters_and_doubles():
    old = {"count": np.array(2**40 + 1), "double": np.array([1.0 + 2**-40])}
    new = {"count": np.array(2**40 + 9), "double": np.array([1.5 + 2**-40])}
    layout = Layout.of(old)
    assert_same(layout.moved(old, layout.difference(new, old)), new)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        (changed(weights=np.zeros((3, 2), dtype=np.float32)), "'weights' is f4\\[3, 2\\], the layout has f4\\[2, 3\\]"),
        (changed(batches=np.array(7.0)), "'batches' is f8"),
        (changed(bias=np.zeros(1)), "'bias' is missing or not in the layout"),
        ({name: TENSORS[name] for name in TENSORS if name != "half"}, "'half' is missing"),
        (changed(half=np.array([np.nan, 1], dtype=np.float16)), "'half' holds NaN"),
        (changed(double=np.array([[1e300]])), "'double' holds NaN, infinity or a value beyond"),
    ],
)
def test_tensors_of_another_layout_are_refused_by_name(tensors, said):
    with pytest.raises(LayoutError, match=said):
        LAYOUT.flatten(tensors)


def test_what_is_not_numbers_is_refused_by_name():
    with pytest.raises(LayoutError, match="'words'"):
        Layout.of({"words": np.array(["a"])})
    with pytest.raises(LayoutError, match="'complex'"):
        Layout.of({"complex": np.array([1j])})


@pytest.mark.parametrize(("dtype", "value"), [("u1", 256), ("u1", -1), ("b1", 2), ("f2", 1e6), ("i8", 2.0**63)])
def test_a_mean_that_its_type_cannot_hold_is_refused(dtype, value):
    layout = Layout.of({"buffer": np.zeros(1, dtype=dtype)})
    with pytest.raises(LayoutError, match="'buffer'"):
        layout.unflatten(np.array([value], dtype=np.float32))


def test_a_vector_of_another_length_or_with_nan_is_refused():
    with pytest.raises(LayoutError, match="12 elements"):
        LAYOUT.unflatten(np.zeros(13, dtype=np.float32))
    with pytest.raises(LayoutError, match="'weights' holds NaN"):
        LAYOUT.unflatten(np.full(12, np.nan, dtype=np.float32))


WHOLE = st.integers(-(2**63), 2**63 - 1)


@pytest.mark.slow
@given(named, st.dictionaries(st.text(max_size=5), WHOLE | st.text(max_size=5), max_size=3))
@settings(max_examples=60, derandomize=True, database=None, deadline=None)
def test_a_payload_comes_back_as_it_was_and_has_one_form(tensors, meta):
    data = dump_payload(tensors, meta)
    found, found_meta = load_payload(data)
    assert_same(found, tensors)
    assert found_meta == meta
    assert dump_payload(found, found_meta) == data


def test_numpy_opens_a_payload_without_pickle():
    with np.load(io.BytesIO(dump_payload(TENSORS, {"fl_round": 1})), allow_pickle=False) as archive:
        assert archive.files == [META, *TENSORS]
        assert archive[META].tobytes() == b'{"fl_round":1}'
        assert_same({name: archive[name] for name in TENSORS}, TENSORS)


def test_byte_order_and_memory_order_do_not_change_the_bytes():
    other = changed(weights=np.asfortranarray(TENSORS["weights"].astype(">f4")))
    assert dump_payload(other, {}) == dump_payload(TENSORS, {})


def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def npy(array, shape=None):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    body = buffer.getvalue()
    return body.replace(b"(3,)", shape.ljust(4)[:4]) if shape else body


GOOD = dump_payload(TENSORS, {"a": 1})
EMPTY_META = npy(np.frombuffer(b"{}", dtype=np.uint8))
REFUSED = {
    "nothing": b"",
    "text": b"hello",
    "cut short": GOOD[:-10],
    "left over bytes": GOOD + b"x",
    "bytes before it": b"x" + GOOD,
    "no meta": zipped({"a.npy": npy(np.zeros(3))}),
    "another date": zipped({f"{META}.npy": EMPTY_META}),
    "compressed": zipped({f"{META}.npy": EMPTY_META}, zipfile.ZIP_DEFLATED),
    "not an array": zipped({f"{META}.npy": b"hello"}),
    "objects": zipped({f"{META}.npy": EMPTY_META, "a.npy": npy(np.array([None]))}),
    "a header that is none": zipped({f"{META}.npy": EMPTY_META, "a.npy": npy(np.zeros(3), b"{{}}")}),
    "a header that lies": zipped({f"{META}.npy": EMPTY_META, "a.npy": npy(np.zeros(3), b"(9,)")}),
    "meta is no table": dump_payload({}, {}).replace(b"{}", b"[]"),
    "meta with an endless number": dump_payload({}, {"a": 2**63}),
    "meta is no text": dump_payload({}, {}).replace(b"{}", b"\xff\xff"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_anything_else_is_no_payload(data):
    with pytest.raises(PayloadError):
        load_payload(data)


@pytest.mark.slow
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
@settings(max_examples=200, derandomize=True, database=None, deadline=None)
def test_a_changed_byte_is_refused_or_is_another_payload(at, change):
    data = bytearray(GOOD)
    data[at] ^= change
    try:
        tensors, meta = load_payload(bytes(data))
    except PayloadError:
        return
    assert dump_payload(tensors, meta) == bytes(data)


def test_members_that_overlap_are_refused_before_they_are_read():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for index in range(20):
            archive.writestr(f"{index}.npy", bytes(1000))
        for member in archive.infolist():
            member.header_offset = archive.infolist()[0].header_offset
            member.file_size = member.compress_size = 15_000
    with pytest.raises(PayloadError, match="overlap"):
        load_payload(buffer.getvalue())


def test_a_header_that_is_too_long_to_be_ours_is_refused_unread():
    body = b"\x93NUMPY\x01\x00" + (60_000).to_bytes(2, "little") + b"-" * 60_000
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("w.npy", body)
    with pytest.raises(PayloadError, match="too long"):
        load_payload(buffer.getvalue())
