"""TFRecord files of tf.train.Example, read and written without TensorFlow.

The frame of a record is eight lines of the format's description (tensorflow/core/lib/io/record_writer.h), so it stands
here; what can go wrong in silence is left to maintained libraries: the checksums to google-crc32c, the messages to protobuf.
(The package `tfrecord` reads and writes such files too, but passes over the checksums, so that a broken file gives broken
pictures.) The messages are described here as tensorflow/core/example/{example,feature}.proto describe them, in a pool of
their own, so that nothing clashes where TensorFlow is imported as well.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, BinaryIO

from fovea.data.trees import MAX_FILE_BYTES
from fovea.errors import DataError, missing_extra

Feature = list[bytes] | list[float] | list[int]

_HEAD = struct.Struct("<QI")  # the length, and its checksum
_TAIL = struct.Struct("<I")  # of the data
_MASK_DELTA = 0xA282EAD8  # so that the checksum of data that hold a checksum is a good one
_MAKE_ANEW = "copy or write the file again: nothing behind this place in it can be trusted"


def write_record(file: BinaryIO, data: bytes) -> None:
    """Appends one record."""
    head = struct.pack("<Q", len(data))
    file.write(head + _TAIL.pack(_masked(head)) + data + _TAIL.pack(_masked(data)))


def records(file: BinaryIO, *, location: str) -> Iterator[tuple[int, bytes]]:
    """All records from the start of a file, each with its offset.

    Raises:
        DataError: A checksum is wrong, or the file is cut off; the message names `location` and the place.
    """
    offset = 0
    file.seek(0)
    if file.read(2) == b"\x1f\x8b":
        raise DataError(
            f"{location!r} is compressed as a whole, so that no record in it can be found",
            got="a gzip file",
            expected="a TFRecord file without compression: pictures hardly compress",
            fix="unpack it with gunzip",
        )
    file.seek(0)
    while head := file.read(_HEAD.size):
        data = _checked(head, file.read, location, offset)
        yield offset, data
        offset += _HEAD.size + len(data) + _TAIL.size


def read_record(data: bytes, *, location: str, offset: int) -> bytes:
    """The content of one record, given its bytes with their frame.

    Raises:
        DataError: A checksum is wrong, or it is cut off.
    """
    place = _HEAD.size

    def take(count: int) -> bytes:
        nonlocal place
        place += count
        return data[place - count : place]

    return _checked(data[: _HEAD.size], take, location, offset)


def framed_bytes(num_bytes: int) -> int:
    """How many bytes a record of so many bytes fills."""
    return _HEAD.size + num_bytes + _TAIL.size


def _checked(head: bytes, take: Any, location: str, offset: int) -> bytes:
    if len(head) < _HEAD.size:
        raise _broken(location, offset, "is cut off", f"{len(head)} bytes of a record's head")
    length, checksum = _HEAD.unpack(head)
    if _masked(head[:8]) != checksum or length > MAX_FILE_BYTES:
        raise _broken(location, offset, "is broken", "the checksum of a record's length is wrong")
    data: bytes = take(length)
    tail: bytes = take(_TAIL.size)
    if len(data) < length or len(tail) < _TAIL.size:
        raise _broken(location, offset, "is cut off", f"{len(data):,} of a record's {length:,} bytes")
    if _masked(data) != _TAIL.unpack(tail)[0]:
        raise _broken(location, offset, "is broken", "the checksum of a record's data is wrong")
    return data


def _broken(location: str, offset: int, problem: str, got: str) -> DataError:
    return DataError(f"{location!r} {problem} at byte {offset:,}", got=got, expected="whole TFRecords", fix=_MAKE_ANEW)


def _masked(data: bytes) -> int:
    try:
        import google_crc32c
    except ImportError as error:
        raise missing_extra("google-crc32c", "shards", "reading and writing TFRecords") from error
    crc: int = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def pack_example(features: Mapping[str, Feature]) -> bytes:
    """A tf.train.Example: each feature a list of bytes, of floats or of whole numbers. The same features give the same bytes."""
    example = _example_class()()
    for name, values in features.items():
        kind = "bytes_list" if isinstance(values[0], bytes) else "float_list" if isinstance(values[0], float) else "int64_list"
        getattr(example.features.feature[name], kind).value.extend(values)
    packed: bytes = example.SerializeToString(deterministic=True)
    return packed


def unpack_example(data: bytes, *, location: str) -> dict[str, Feature]:
    """The features of a tf.train.Example, in the order of their names.

    Raises:
        DataError: It is no such message.
    """
    example = _example_class()()
    try:
        example.ParseFromString(data)
    except Exception as error:  # protobuf's own class moves between its versions
        raise DataError(
            f"{location!r} holds a record that is no tf.train.Example",
            got=" ".join(str(error).split()),
            expected="TFRecords of tf.train.Example",
            fix="write it again with tf.train.Example, or with fovea.loading.shards.write_shards",
        ) from error
    found: dict[str, Feature] = {}
    for name in sorted(example.features.feature):
        feature = example.features.feature[name]
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


@cache
def _example_class() -> Any:
    """The message class, built from its description."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise missing_extra("protobuf", "shards", "reading and writing tf.train.Example") from error
    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")

    def message(name: str, fields: Sequence[tuple[str, int, int, str]], *, within: Any = None) -> Any:
        made = (file.message_type if within is None else within.nested_type).add(name=name)
        for number, (field, kind, label, type_name) in enumerate(fields, 1):
            made.field.add(name=field, number=number, type=kind, label=label, type_name=type_name or None)
        return made

    one, many, inner = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED, kinds.TYPE_MESSAGE
    message("BytesList", [("value", kinds.TYPE_BYTES, many, "")])
    message("FloatList", [("value", kinds.TYPE_FLOAT, many, "")])
    message("Int64List", [("value", kinds.TYPE_INT64, many, "")])
    lists = [("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")]
    feature = message("Feature", [(field, inner, one, f".tensorflow.{name}") for field, name in lists])
    feature.oneof_decl.add(name="kind")
    for field in feature.field:
        field.oneof_index = 0
    features = message("Features", [("feature", inner, many, ".tensorflow.Features.FeatureEntry")])
    entry = message("FeatureEntry", [("key", kinds.TYPE_STRING, one, ""), ("value", inner, one, ".tensorflow.Feature")], within=features)
    entry.options.map_entry = True
    message("Example", [("features", inner, one, ".tensorflow.Features")])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
