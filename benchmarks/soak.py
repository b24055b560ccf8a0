"""Whether anything is lost or left half-written: killed runs, damaged files, a stream that drops, for as long as asked.

    python benchmarks/soak.py [--kills 100] [--pictures 2000] [--videos 500] [--minutes 60]

Makes its files from the portrait in assets/. Each line of the output is one of the four parts: what was tried, and how
often something was wrong, which should be 0: an output that appears under its name and is not whole, a part that the
next run does not sweep, a traceback, a second line of an error, an exit code other than 0, 1 or 2; and the most memory
that any run took.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
from PIL import Image

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
MIEN = [sys.executable, "-m", "mien"]


def main() -> None:
    """Run the parts that are asked for, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="runs that are killed at a random moment (100)")
    parser.add_argument("--pictures", type=int, default=2000, help="damaged pictures (2000)")
    parser.add_argument("--videos", type=int, default=500, help="damaged videos (500)")
    parser.add_argument("--minutes", type=float, default=60, help="of a stream that drops (60)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        if options.kills:
            print(killed(place, options.kills), flush=True)
        if options.pictures:
            print(damaged_pictures(place, options.pictures), flush=True)
        if options.videos:
            print(damaged_videos(place, options.videos), flush=True)
        if options.minutes:
            print(dropping_stream(place, options.minutes), flush=True)
    print(f"most memory of any run: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")


def killed(place: Path, kills: int) -> str:
    """Kill `read` over pictures and `watch` over a video at random moments; then one run of each to its end."""
    pictures = place / "pictures"
    pictures.mkdir()
    for number in range(60):
        (pictures / f"{number:02}.jpg").write_bytes(PORTRAIT.read_bytes())
    film, out = write_film(place / "film.mp4", 200), place / "out"
    out.mkdir()
    read = ["read", str(pictures), "--csv", str(out / "read.csv"), "--image-out", str(out / "annotated")]
    watch = ["watch", str(film), "--no-window", "--force", "--csv", str(out / "watch.csv"), "--json"]
    watch += [str(out / "watch.jsonl"), "--video-out", str(out / "watch.mp4"), "--counts", str(out / "counts.csv")]
    rng, wrong = random.Random(0), Counter[str]()
    for number in range(kills):
        process = subprocess.Popen([*MIEN, *(watch if number % 2 else read)], stdout=-3, stderr=-3)
        try:
            process.wait(rng.uniform(0.1, 6))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        for file in out.rglob("*"):
            if file.is_file() and not file.name.endswith(".mien-part") and not is_whole(file):
                wrong["half-written"] += 1
    for command in (read, watch):
        done = subprocess.run([*MIEN, *command], capture_output=True, text=True, check=False)
        wrong["a run after it failed"] += done.returncode != 0
    wrong["parts that stay"] += len(list(out.rglob("*.mien-part")))
    return f"{kills} runs killed: {told(wrong)}"


def damaged_pictures(place: Path, count: int) -> str:
    """Read pictures with some of their bytes changed, left out or put in, a folder of fifty at a time."""
    image = Image.open(PORTRAIT).resize((160, 160))
    originals = []
    for ending in ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "TGA", "PPM"):
        buffer = io.BytesIO()
        image.save(buffer, ending)
        originals.append((ending.lower(), buffer.getvalue()))
    rng, wrong, codes = random.Random(1), Counter[str](), Counter[int]()
    for batch in range(0, count, 50):
        folder = place / f"damaged-{batch}"
        folder.mkdir()
        for number in range(batch, min(batch + 50, count)):
            ending, data = originals[number % len(originals)]
            (folder / f"{number}.{ending}").write_bytes(damaged(data, rng))
        done = subprocess.run(
            [*MIEN, "read", str(folder), "--csv", str(folder / "out.csv"), "--quiet"], capture_output=True, check=False
        )
        codes[done.returncode] += 1
        check_end(done, wrong)
    return f"{count} damaged pictures: {told(wrong)}; exit codes {dict(codes)}"


def damaged_videos(place: Path, count: int) -> str:
    """Read videos with some of their bytes changed, into tables and an annotated video."""
    films = [write_film(place / f"small.{ending}", 12, (96, 96)) for ending in ("mp4", "mkv", "ts", "avi")]
    rng, wrong, codes = random.Random(2), Counter[str](), Counter[int]()
    for number in range(count):
        film = films[number % len(films)]
        source = place / f"damaged{film.suffix}"
        source.write_bytes(damaged(film.read_bytes(), rng))
        outputs = [place / "v.csv", place / "v.mp4"]
        command = ["watch", str(source), "--no-window", "--force", "--csv", str(outputs[0]), "--video-out"]
        done = subprocess.run([*MIEN, *command, str(outputs[1])], capture_output=True, check=False)
        codes[done.returncode] += 1
        check_end(done, wrong)
        wrong["half-written"] += sum(file.exists() and not is_whole(file) for file in outputs)
        wrong["parts that stay"] += len(list(place.glob("*.mien-part")))
    return f"{count} damaged videos: {told(wrong)}; exit codes {dict(codes)}"


def dropping_stream(place: Path, minutes: float) -> str:
    """Watch a camera over HTTP that breaks off every few seconds and comes back."""
    buffer = io.BytesIO()
    Image.open(PORTRAIT).resize((320, 320)).save(buffer, "JPEG")
    picture, rng = buffer.getvalue(), random.Random(3)

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            until = time.monotonic() + rng.uniform(2, 10)
            try:
                while time.monotonic() < until:
                    self.wfile.write(b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + picture + b"\r\n")
                    time.sleep(0.1)
            except OSError:
                return

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    table = place / "stream.csv"
    command = [*MIEN, "watch", f"http://127.0.0.1:{server.server_port}/", "--no-window", "--csv", str(table)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    memory = []
    for _ in range(max(2, round(minutes * 6))):
        time.sleep(min(10.0, minutes * 30))
        memory.append(resident(process.pid))
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=60)
    server.shutdown()
    wrong = Counter[str]()
    check_end(subprocess.CompletedProcess(command, 0 if process.returncode == 143 else 99, out, error), wrong)
    rows = len(table.read_text().splitlines()) - 1
    lost = error.count(b"is lost")
    return (
        f"{minutes:g} minutes of a stream that was lost {lost} times: {told(wrong)}; {rows} rows, "
        f"memory {memory[len(memory) // 4]:.0f} MiB after a quarter, {memory[-1]:.0f} MiB at the end"
    )


def write_film(path: Path, frames: int, size: tuple[int, int] = (320, 320)) -> Path:
    """The portrait, moving to and fro, with a tone."""
    portrait = np.asarray(Image.open(PORTRAIT).convert("RGB").resize(size))
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4" if path.suffix == ".avi" else "libx264", rate=25)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio = container.add_stream("mp3" if path.suffix == ".avi" else "aac", rate=44_100)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(portrait, number % 40, 1)), "rgb24")
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        tone = (np.sin(np.arange(frames * 44_100 // 25) / 20) * 9000).astype(np.int16)
        for start in range(0, len(tone), 1152):
            sound = av.AudioFrame.from_ndarray(tone[None, start : start + 1152], "s16", "mono")
            sound.sample_rate, sound.pts = 44_100, start
            container.mux(audio.encode(sound))
        container.mux(audio.encode(None))
    return path


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with some of them changed, cut off or repeated."""
    changed = bytearray(data)
    kind = rng.random()
    if kind < 0.2:
        return bytes(changed[: rng.randrange(1, len(changed))])
    for _ in range(rng.choice((1, 4, 30))):
        place = rng.randrange(len(changed)) if kind < 0.7 else rng.randrange(min(len(changed), 200))
        changed[place] = rng.randrange(256)
    return bytes(changed)


def check_end(done: subprocess.CompletedProcess[bytes], wrong: Counter[str]) -> None:
    """Count what no run may end with."""
    wrong["exit code"] += done.returncode not in (0, 1, 2)
    wrong["traceback"] += b"Traceback" in done.stderr
    lines = done.stderr.decode("utf-8", "replace").splitlines()
    wrong["a line that is not Mien's"] += any(not line.startswith("mien: ") for line in lines)


def is_whole(file: Path) -> bool:
    """Whether a file can be read to its end."""
    try:
        if file.suffix == ".csv":
            table = list(csv.reader(file.read_text(encoding="utf-8").splitlines()))
            return all(len(row) == len(table[0]) for row in table)
        if file.suffix == ".jsonl":
            return all(json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
        if file.suffix == ".mp4":
            with av.open(str(file)) as container:
                return sum(1 for _ in container.decode(video=0)) > 0
        Image.open(file).load()
    except Exception:
        return False
    return True


def resident(pid: int) -> float:
    """MiB of memory that a process holds now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def told(wrong: Counter[str]) -> str:
    """What went wrong, or that nothing did."""
    return ", ".join(f"{count} {name}" for name, count in wrong.items() if count) or "nothing wrong"


if __name__ == "__main__":
    main()
