"""The names that people give: which are files, which pictures, videos or addresses; folders and patterns of them."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISCHR
from urllib.parse import urlsplit, urlunsplit
from urllib.request import url2pathname

from mien.errors import SourceError

PICTURES = frozenset(
    ".apng .avif .bmp .cur .dds .dib .gif .heic .heif .icns .ico .j2c .j2k .jfif .jp2 .jpc .jpe .jpeg .jpf .jpg "  # noqa: SIM905
    ".jpx .mpo .pbm .pcx .pfm .pgm .png .pnm .ppm .qoi .sgi .tga .tif .tiff .webp".split()
)
"""Endings of the files of a folder that are read as pictures; a file that is named is opened whatever its ending."""

VIDEOS = frozenset(
    ".264 .265 .3g2 .3gp .asf .avi .divx .dv .f4v .flv .h264 .h265 .hevc .ivf .m2ts .m2v .m4v .mjpeg .mjpg .mkv "  # noqa: SIM905
    ".mov .mp4 .mpe .mpeg .mpg .mts .mxf .ogv .qt .rm .rmvb .ts .vob .webm .wmv .y4m".split()
)
"""Endings of those that are read as videos."""

UNREAD = frozenset(
    ".arw .cr2 .cr3 .dng .emf .eps .jxl .nef .orf .psd .raf .raw .rw2 .svg .wmf .xcf".split()  # noqa: SIM905
)
"""Endings of pictures that no reader here knows: they are named, not passed over."""

PICTURE_SIGNS = (
    rb"\xff\xd8\xff",
    rb"\x89PNG\r\n\x1a\n",
    rb"GIF8[79]a",
    rb"RIFF....WEBP",
    rb"....ftyp(hei|hev|mif1|avif)",
)
VIDEO_SIGNS = (rb"....ftyp(?!M4A|crx)", rb"\x1aE\xdf\xa3", rb"RIFF....AVI ", rb"FLV\x01", rb"\x00\x00\x01\xba")
"""How pictures and videos begin, by which those are known that end otherwise, as `photo.jpg_large`."""

SEQUENCE = r"%0?\d*d"  # a number in the name of a picture, as FFmpeg writes it: frame_%03d.png

LONGEST = 100  # letters of a name in a message


@dataclass
class Found:
    """What names stand for: each file once, in the order given, and what looks like one of them but is not read."""

    pictures: list[Path] = field(default_factory=list)
    videos: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # a sentence for each, which says why
    empty: list[str] = field(default_factory=list)  # folders in which there is nothing of these
    alone: bool = False  # one file was named, and nothing that may come to stand for more


def find(names: Iterable[str | os.PathLike[str]], *, recursive: bool = False) -> Found:
    """Sort files, folders, patterns and addresses into pictures and videos.

    A folder stands for the pictures and videos directly in it, by name and without hidden ones, with `recursive` also
    for those in the folders below; `**` in a pattern reaches deeper too. What names nothing is listed as a picture, for
    the reading to report: one bad name does not stop the others. Raises SourceError for a name that is empty.
    """
    found, given = Found(), [os.fspath(name) for name in names]
    for name in given:
        if not name:  # an unset variable of the shell; as a path it would be the current folder
            raise SourceError("a source has no name: give a picture, a video, a folder or a pattern")
        if is_url(name) and not name.lower().startswith("file:"):
            found.videos.append(name)
            continue
        try:
            path = local_path(name)
        except SourceError as error:
            found.left_out.append(str(error))
            continue
        folder, matches = _expanded(path, recursive)
        kinds = [_sort(file, found, named=not folder) for file in matches]
        if not any(kinds):
            found.empty.append(short(name))
    kept = [*map(str, found.pictures), *found.videos]
    found.alone = len(given) == 1 and (kept == given or not (stands_for_several(given[0]) or is_sequence(given[0])))
    found.pictures, found.videos = list(dict.fromkeys(found.pictures)), list(dict.fromkeys(found.videos))
    return found


def _sort(file: Path, found: Found, named: bool) -> bool:
    """Put a file where it belongs; False where it is none of these."""
    ending = file.suffix.lower()
    begins = b"" if ending in PICTURES | VIDEOS | UNREAD | {".mien-part"} else _beginning(file)
    if ending in VIDEOS or _is_one_of(VIDEO_SIGNS, begins):
        found.videos.append(str(file))
    elif named or ending in PICTURES or _is_one_of(PICTURE_SIGNS, begins):
        found.pictures.append(file)
    elif ending in UNREAD:
        found.left_out.append(f"{short(str(file))} is left out: {ending} is not read; convert it to PNG")
    else:
        return False
    return True


def _beginning(file: Path) -> bytes:
    """Return the first bytes of a file; none of what cannot be opened, which is reported later."""
    with suppress(OSError, ValueError):
        if file.is_file():
            with file.open("rb") as opened:
                return opened.read(16)
    return b""


def _is_one_of(signs: Iterable[bytes], begins: bytes) -> bool:
    return any(re.match(sign, begins, re.DOTALL) for sign in signs)


def _expanded(path: Path, recursive: bool) -> tuple[bool, list[Path]]:
    """Whether a path is a folder, and the files that it or a pattern stands for; itself where it is neither."""
    with suppress(OSError, ValueError):  # an unreadable folder, a NUL in a name: reported when it is opened
        if path.is_dir():
            files = _walk(path) if recursive else path.iterdir()
            return True, sorted(file for file in files if not file.name.startswith(".") and file.is_file())
        if not path.exists():
            pattern = re.sub(SEQUENCE, "[0-9]*", str(path))
            if glob.has_magic(pattern):
                matches = sorted(Path(name) for name in glob.glob(pattern, recursive=True) if Path(name).is_file())  # noqa: PTH207 - Path.glob takes no absolute pattern
                return False, matches or [path]
    return False, [path]


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder, without entering hidden folders."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in files)


def local_path(name: str) -> Path:
    """Return the path that a name or a file: URL stands for. Raises SourceError for other addresses and for data."""
    if name.lower().startswith("file:/"):
        return Path(url2pathname(urlsplit(name).path))
    if name.lower().startswith("data:"):
        raise SourceError(f"{short(name)} is the picture itself, as text: decode it and give the bytes")
    if is_url(name):
        raise SourceError(f"{short(without_password(name))} is an address, which is not fetched: download it first")
    if len(name) > 1000 and re.fullmatch(r"[A-Za-z0-9+/=\s]+", name):
        raise SourceError(f"{short(name)} looks like base64: decode it and give the bytes")
    return Path(name)


def stands_for_several(name: str) -> bool:
    """Is this a folder, or a pattern of names?"""
    if is_url(name):
        return False
    with suppress(OSError, ValueError):  # a name too long, or with a NUL
        path = Path(name)
        return path.is_dir() or (glob.has_magic(name) and not path.exists())
    return False


def is_video(name: str) -> bool:
    """Does a name look like a video's, and not like a picture's?"""
    return Path(name).suffix.lower() in VIDEOS or is_url(name)


def is_sequence(name: str) -> bool:
    """Is this a pattern of numbered pictures, as frame_%03d.png? FFmpeg plays these as a video."""
    return re.search(SEQUENCE, Path(name).name) is not None and not Path(name).exists()


def is_url(name: str) -> bool:
    """Is this an address? Two letters or more come before the colon: C:\\ is a drive."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name) is not None


def is_camera(name: str) -> bool:
    """Is this the number of a camera, or its device? A file may have a number for its name."""
    if name.isdecimal():
        return not Path(name).is_file()
    try:
        return sys.platform.startswith("linux") and S_ISCHR(os.stat(name).st_mode)  # noqa: PTH116 - a name with NUL
    except (OSError, ValueError):
        return name.startswith("/dev/video")


def without_password(url: str) -> str:
    """Return a URL as it may be shown and written down: who may look at a table need not know the camera's password."""
    if not is_url(url):
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def check_file(path: Path, instead: str) -> None:
    """Raise SourceError when there is no file to open, or one that would never end; `instead` is what to do then."""
    shown = short(str(path))
    try:
        if not path.exists():
            raise SourceError(f"there is no file {shown}: check its name")
        if path.is_dir():
            next(path.iterdir(), None)  # a folder that may not be read says so
            raise SourceError(f"{shown} is a folder: {instead}")
        if not path.is_file():
            raise SourceError(f"{shown} is not a file: {instead}")
        if path.stat().st_size == 0:
            raise SourceError(f"{shown} is empty: get a whole copy of it")
        if not os.access(path, os.R_OK):
            raise SourceError(f"{shown} may not be read: ask its owner for permission")
    except (OSError, ValueError) as error:  # a NUL in the name, a name too long, a folder that may not be entered
        raise SourceError(f"{shown} cannot be opened ({reason(error)}): check its name") from None


def short(name: str) -> str:
    """Return a name as it stands in a message: of a long one the beginning."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def reason(error: BaseException) -> str:
    """Return what an error says, in one short line."""
    said = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(said.split())[:LONGEST]
