"""A tar archive or a gzip file that could do harm is refused, whatever its headers say, and in little memory."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data import archive as archives
from mien.data.fer2013 import PRIVATE, PUBLIC, TRAINING, Fer2013
from mien.data.read import read
from mien.errors import DataError

from .forms import FORMS, TARS, content, csv_of, make, memory_below, pictures_of, refused, write, write_tar

MIB = 2**20
LINKS = {tarfile.SYMTYPE: "symbolic link", tarfile.LNKTYPE: "hard link"}
DEVICES = {tarfile.CHRTYPE: "character device", tarfile.BLKTYPE: "block device", tarfile.FIFOTYPE: "pipe"}


def tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], kind: int = tarfile.PAX_FORMAT) -> Path:
    """Write a gzipped tar archive from whole headers."""
    with tarfile.open(path, "w:gz", format=kind, compresslevel=1) as file:
        for member, data in members:
            member.size = member.size or len(data)
            file.addfile(member, io.BytesIO(data.ljust(member.size, b"\0")) if data else None)
    return path


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header by itself, which may say what is not so."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    return member.tobuf(tarfile.GNU_FORMAT)


# --- Every writer's archives -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("below", ["", "./", "fer2013/", "a" * 90 + "/" + "b" * 40 + "/"])
def test_archives_of_every_writer_are_read(small: Fer2013, tmp_path: Path, kind: int, below: str) -> None:
    folder, file = tarfile.TarInfo(below or "."), tarfile.TarInfo(f"{below}fer2013.csv")
    folder.type = tarfile.DIRTYPE
    assert content(read(tar(tmp_path / "a.tgz", (folder, b""), (file, csv_of(small)), kind=kind))) == content(small)


def test_very_long_names_and_comments_are_read(small: Fer2013, tmp_path: Path) -> None:
    member = tarfile.TarInfo("x" * 200 + "/ü" * 100 + "/fer2013.csv")
    member.pax_headers = {"comment": "y" * 5000}
    assert content(read(tar(tmp_path / "a.tgz", (member, csv_of(small))))) == content(small)


def test_an_archive_without_the_mark_of_posix_is_read(small: Fer2013, tmp_path: Path) -> None:
    block = bytearray(header("fer2013.csv", len(csv_of(small))))
    block[257:265] = bytes(8)  # as Unix wrote them before 1988
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    data = csv_of(small)
    (tmp_path / "old.tar").write_bytes(bytes(block) + data + bytes(-len(data) % 512) + bytes(1024))
    assert content(read(tmp_path / "old.tar")) == content(small)


# --- What could do harm ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../fer2013.csv", "a/../../fer2013.csv", "/fer2013.csv", "C:/fer2013.csv"])
def test_names_that_lead_out_of_the_archive_are_refused(small: Fer2013, tmp_path: Path, name: str) -> None:
    assert "names a file outside itself" in refused(write_tar(tmp_path / "a.tgz", [(name, csv_of(small))]))


@pytest.mark.parametrize("kind", [*LINKS, *DEVICES], ids=[*LINKS.values(), *DEVICES.values()])
@pytest.mark.parametrize("name", ["fer2013.csv", "train/happy/1.jpg"])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes, name: str) -> None:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/passwd"
    assert f"{name} is a link, a device or a file with holes" in refused(tar(tmp_path / "a.tgz", (member, b"")))


def test_files_with_holes_are_refused(tmp_path: Path) -> None:
    member = tarfile.TarInfo("fer2013.csv")
    member.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": str(2**40),
    }
    assert "a file with holes" in refused(tar(tmp_path / "a.tgz", (member, b"x")))


@pytest.mark.parametrize("name", ["train/happy/1.jpg", "fer2013.csv", "notes.txt"])
def test_a_bomb_is_refused_by_the_size_it_tells(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(header(name, 2**40) + b"x" * 2048)
    with memory_below(8 * MIB):
        assert "unpacks to more than 2,048 MiB" in refused(path)


def test_a_bomb_of_zeros_is_unpacked_in_little_memory(tmp_path: Path) -> None:
    with memory_below(8 * MIB):
        assert "holds no FER2013" in refused(write_zeros(tmp_path / "a.tgz", "notes.txt", 256 * MIB))
        assert "has more than 16 MiB" in refused(write_zeros(tmp_path / "b.tgz", "train/happy/1.jpg", 64 * MIB))
        assert "neither a CSV file" in refused(write_zeros(tmp_path / "c.tgz", "fer2013.csv", 64 * MIB))


def write_zeros(path: Path, name: str, size: int) -> Path:
    """Write a tar archive with a file of zeros, packed as tightly as gzip can."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    with path.open("wb") as file:
        file.write(packer.compress(header(name, size)))
        for _ in range(size // MIB):
            file.write(packer.compress(bytes(MIB)))
        file.write(packer.compress(bytes(1024)) + packer.flush())
    return path


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE, tarfile.XGLTYPE], ids=["L", "x", "g"])
def test_headers_that_are_bombs_are_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "a.tgz"
    block = header("name", 512 * MIB, kind)
    path.write_bytes(gzip.compress(block + bytes(64 * MIB), 1))
    with memory_below(8 * MIB):
        assert "has headers of more than 32,768 bytes" in refused(path)


def test_headers_without_end_are_refused(tmp_path: Path) -> None:
    record = b"20 comment=xxxxxxxx\n"
    block = header("name", len(record), tarfile.XHDTYPE) + record.ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(block * 10_000)
    assert "has headers of more than 32,768 bytes" in refused(tmp_path / "a.tar")


@pytest.mark.parametrize("size", [-1, -(2**40)])
def test_negative_sizes_are_refused(tmp_path: Path, size: int) -> None:
    block = bytearray(header("notes.txt", 0))
    block[124:136] = (256**12 + size).to_bytes(13, "big")[1:]  # base 256, as GNU writes large numbers
    block[148:156] = b" " * 8
    block[148:155] = b"%06o\0" % sum(block)
    (tmp_path / "a.tar").write_bytes(bytes(block) + bytes(4096))
    refused(tmp_path / "a.tar")


def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_FILES", 100)
    assert "holds no FER2013" in refused(write_tar(tmp_path / "a.tar", ((f"{n}.txt", b"") for n in range(99))))
    assert "holds more than 100 files" in refused(
        write_tar(tmp_path / "a.tar", ((f"{n}.txt", b"") for n in range(101)))
    )


def test_an_endless_gzip_file_is_refused(small: Fer2013, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lines.csv.gz").write_bytes(gzip.compress(b"emotion,pixels,Usage\n" + b"\n" * 1_000_000, 9))
    assert "lines.csv.gz has more than 1,000,000 lines" in refused(tmp_path / "lines.csv.gz")
    monkeypatch.setattr("mien.data.table.MOST_BYTES", MIB)
    row = csv_of(small).split(b"\n")[1] + b"\n"
    (tmp_path / "fer2013.csv.gz").write_bytes(gzip.compress(b"emotion,pixels,Usage\n" + row * (2 * MIB // len(row)), 9))
    assert "has more than 1 MiB: it is no CSV file of FER2013" in refused(tmp_path / "fer2013.csv.gz")


@pytest.mark.parametrize("form", FORMS)
def test_more_images_than_memory_has_room_for_are_refused(
    small: Fer2013, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setattr("mien.data.fer2013.MOST_ROWS", len(small.labels) - 1)
    assert "holds more than 167 images: FER2013 has 35,887" in refused(write(form, small, tmp_path))


# --- Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("form", ["fer2013.tar.gz", "pictures.tar.gz", "fer2013.csv.gz"])
def test_a_truncated_archive_is_refused(small: Fer2013, tmp_path: Path, form: str, share: float) -> None:
    source = write(form, small, tmp_path)
    whole = source.read_bytes()
    source.write_bytes(whole[: int(len(whole) * share)])
    assert "is it whole? Download it again" in refused(source)


def test_a_tar_archive_that_ends_after_any_file_is_refused(tmp_path: Path) -> None:
    data = make([0, 1, 2, 3], [TRAINING, PUBLIC, PRIVATE, PRIVATE])
    path = write_tar(tmp_path / "a.tar", pictures_of(data))
    whole = path.read_bytes()
    with tarfile.open(path) as file:
        ends = [member.offset for member in file][1:]
    for end in ends:
        path.write_bytes(whole[:end])
        assert "is it whole? Download it again" in refused(path)
        path.write_bytes(whole[:end] + b"damaged!" + whole[end + 8 :])  # which tarfile takes for the end
        assert "is it whole? Download it again" in refused(path)


@pytest.mark.parametrize("form", ["fer2013.tar.gz", "fer2013.csv.gz"])
def test_a_wrong_checksum_is_noticed(small: Fer2013, tmp_path: Path, form: str) -> None:
    source = write(form, small, tmp_path)
    data = bytearray(source.read_bytes())
    struct.pack_into("<I", data, len(data) - 8, 12345)
    source.write_bytes(data)
    assert "CRC check failed" in refused(source)


def damaged(path: Path, rng: np.random.Generator, begin: int = 0) -> None:
    data = np.frombuffer(bytearray(path.read_bytes()), np.uint8)
    data[rng.integers(begin, len(data), 4)] = rng.integers(0, 256, 4)
    path.write_bytes(data.tobytes())


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("form", [*TARS, "pictures.tar.gz", "fer2013.csv.gz", "fer2013.npz"])
def test_a_damaged_archive_is_read_or_refused(form: str, seed: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = write(form, make([0, 1, 2], [TRAINING, PUBLIC, PRIVATE]), Path(folder))
        damaged(source, np.random.default_rng(seed))
        try:
            assert len(read(source).labels) <= 3
        except DataError as error:
            assert "\n" not in str(error)


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_headers_are_read_or_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        member = tarfile.TarInfo("a" * 120 + "/train/happy/1.txt")
        member.pax_headers = {"comment": "x" * 100, "mtime": "1.5"}
        source = tar(Path(folder, "a.tgz"), (member, b"words"), (member, b"words"))
        headers = bytearray(gzip.decompress(source.read_bytes()))
        for place in data.draw(st.lists(st.integers(0, 2600), min_size=1, max_size=4)):
            headers[place] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):  # with a checksum that is right
            for start in range(0, 2560, 512):
                headers[start + 148 : start + 156] = b" " * 8
                headers[start + 148 : start + 155] = b"%06o\0" % sum(headers[start : start + 512])
        source.write_bytes(headers)
        refused(source)
