"""Pack prepared data into one file of 0.71 of the size, to be carried to another machine; or unpack such a file.

    python scripts/pack_data.py pack processed processed.zip      81 MB → 58 MB; 46 MB --without-test
    python scripts/pack_data.py unpack processed.zip processed

The images of a split become one PNG, a column of faces: PNG predicts each pixel from its neighbours before it
compresses, which the arrays' own compression does not. Lossless.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from mien.data.prepare import FILES, check_place, load, whole_folder, write_array
from mien.errors import DataError, MienError
from mien.files import WholeFile
from mien.labels import SIDE


def pack(folder: Path, file: Path, without_test: bool = False) -> None:
    """Write what is in a prepared folder to one zip archive."""
    check(folder)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            if path.name not in FILES or (without_test and path.name.startswith("test_")):
                continue
            if path.name.endswith("_images.npy"):
                picture = io.BytesIO()
                Image.fromarray(np.load(path).reshape(-1, SIDE)).save(picture, "PNG")
                archive.writestr(path.with_suffix(".png").name, picture.getvalue())
            else:
                archive.write(path, path.name)
    with WholeFile(file) as whole:
        whole.write(buffer.getvalue())


def unpack(file: Path, folder: Path) -> None:
    """Write the prepared folder that an archive holds, whole or not at all; prepared data that are there give way."""
    check_place(folder, [file])
    with zipfile.ZipFile(file) as archive, whole_folder(folder) as fresh:
        for name in archive.namelist():
            write_member(fresh, name, archive.read(name))
        try:
            check(fresh)
        except DataError:
            raise DataError("it holds no whole prepared data: pack them again") from None


def write_member(folder: Path, name: str, content: bytes) -> None:
    """Write what an archive holds under one name."""
    path = folder / (name.removesuffix(".png") + ".npy" if name.endswith(".png") else name)
    if path.name not in FILES or path.parent != folder:
        raise DataError(f"it holds {name}, which is no part of prepared data")
    if not name.endswith(".png"):
        path.write_bytes(content)
        return
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            faces = np.asarray(picture).reshape(-1, SIDE, SIDE)
    except (OSError, ValueError):
        raise DataError(f"its {name} is no column of faces: pack the data again") from None
    write_array(path, faces)


def check(folder: Path) -> None:
    """Raise DataError where a folder holds no prepared data; test images may be absent altogether."""
    for split in ("train", "val", *({"test"} if any(folder.glob("test_*")) else ())):
        load(folder, split)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("action", choices=("pack", "unpack"))
    parser.add_argument("source", type=Path, help="the prepared folder, or the file to unpack")
    parser.add_argument("out", type=Path, help="the file, or the folder, to write")
    parser.add_argument("--without-test", action="store_true", help="leave the test images at home")
    asked = parser.parse_args()
    try:
        if asked.action == "pack":
            pack(asked.source, asked.out, asked.without_test)
        else:
            unpack(asked.source, asked.out)
    except (MienError, OSError, zipfile.BadZipFile) as error:
        sys.exit(f"cannot {asked.action} {asked.source}: {error}")
