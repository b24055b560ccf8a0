"""How many pictures the server reads a second, and how long each client waits, beside the pipeline alone.

    python benchmarks/serve.py [--seconds 60] [--clients 1 8 100] [--streams 20]

Everything is on this computer: the server as a process on a loopback port, the clients in this one. The pictures are of
640x480, each with the portrait of assets/ in another place and size, so that every answer shows whether it belongs to
its picture. The pipeline alone is a process of its own that reads the same pictures from memory with as many threads as
the server has, before and after the clients. A client that is told that the server is busy waits a second, as it is
asked to. Streams send ten pictures a second each over WebSockets. Wall-clock figures want a quiet machine; the seconds
of CPU that a picture takes hold on a busy one as well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count, cycle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
from websockets.asyncio.client import connect

from mien.reader import Reader
from mien.sources.prefetch import cores

PORTRAIT = Path(__file__).parents[1] / "assets" / "astronaut.jpg"
WIDTH, HEIGHT = 640, 480
PICTURES = 12
RATE = 10  # pictures a second of a stream
MOST = 100_000  # requests of a run


def main() -> None:
    """Measure, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement (60)")
    parser.add_argument("--clients", type=int, nargs="*", default=[1, 8, 100], help="at a time (1 8 100)")
    parser.add_argument("--streams", type=int, default=20, help="WebSockets at a time; 0: none (20)")
    parser.add_argument("--alone", action="store_true", help="only measure the pipeline, in this process")
    options = parser.parse_args()
    pictures = make_pictures()
    if options.alone:
        print(*alone(pictures, options.seconds))
        return
    expected = [Reader().read(picture).to_dicts() for picture in pictures]
    rates = [alone_in_a_process(options.seconds)]
    with serving() as (address, process):
        ask_all(address, pictures, expected, 4, min(5, options.seconds))  # warm
        before = memory(process)
        served = []
        for clients in options.clients:
            used = cpu(process)
            load = ask_all(address, pictures, expected, clients, options.seconds)
            served.append((clients, load, (cpu(process) - used) / max(1, len(load.waited)), memory(process)))
        rates.append(alone_in_a_process(options.seconds))
        (first, used_first), (last, used_last) = rates
        pipeline, each = (first + last) / 2, (used_first + used_last) / 2
        print(
            f"the pipeline alone, {cores()} threads: {first:.1f} pictures a second before, {last:.1f} after, "
            f"{each * 1000:.1f} ms of CPU a picture"
        )
        for clients, load, used, now in served:
            print(
                f"{clients} clients: {load.line()}; {used * 1000:.1f} ms of CPU; "
                f"of the pipeline {load.rate / pipeline:.2f} by the clock, {each / used:.2f} by CPU; {now:.0f} MiB"
            )
        if options.streams:
            used = cpu(process)
            said = asyncio.run(watch_all(address, options.streams, options.seconds))
            print(f"{said}; {(cpu(process) - used) / options.seconds:.2f} cores; {memory(process):.0f} MiB")
        print(f"memory of the server: {before:.0f} MiB when warm, {memory(process):.0f} MiB at the end")


@dataclass
class Load:
    """What clients met with."""

    seconds: float
    waited: list[float] = field(default_factory=list)  # seconds for each answer
    refused: int = 0  # told that the server is busy
    wrong: int = 0  # of another picture
    lost: int = 0  # without an answer

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.waited) / self.seconds

    def line(self) -> str:
        """All of it."""
        p50, p95, p99 = np.percentile(self.waited, (50, 95, 99)) * 1000 if self.waited else (0, 0, 0)
        return (
            f"{self.rate:.1f} answers a second, p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms; "
            f"{self.refused} busy, {self.wrong} of another picture, {self.lost} lost"
        )


def make_pictures() -> list[bytes]:
    """JPEG files, each with one face in a place of its own."""
    found = []
    with PIL.Image.open(PORTRAIT) as portrait:
        for number in range(PICTURES):
            side = 200 + 20 * number
            canvas = PIL.Image.new("RGB", (WIDTH, HEIGHT), (60 + 10 * number, 110, 140))
            at = ((WIDTH - side) * number // (PICTURES - 1), (HEIGHT - side) // 2)
            canvas.paste(portrait.resize((side, side)), at)
            data = BytesIO()
            canvas.save(data, "JPEG", quality=90)
            found.append(data.getvalue())
    return found


def alone(pictures: Sequence[bytes], seconds: float) -> tuple[float, float]:
    """Pictures a second that the library reads from memory, and the seconds of CPU of each."""
    cv2.setNumThreads(1)  # as in the server, whose threads are as many as the cores
    reader, ends = Reader(), 0.0

    def until_then() -> Iterator[bytes]:
        for picture in cycle(pictures):
            if ends and time.perf_counter() > ends:
                return
            yield picture

    list(reader.read(pictures))
    began, used = time.perf_counter(), time.process_time()
    ends = began + seconds
    read = sum(1 for _ in reader.read(until_then(), workers=cores()))
    return read / (time.perf_counter() - began), (time.process_time() - used) / read


def alone_in_a_process(seconds: float) -> tuple[float, float]:
    """The same in a process of its own."""
    command = [sys.executable, __file__, "--alone", "--seconds", str(seconds)]
    rate, used = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(rate), float(used)


@contextmanager
def serving() -> Iterator[tuple[tuple[str, int], subprocess.Popen[str]]]:
    """The server: its address and its process."""
    command = [sys.executable, "-m", "mien", "serve", "--port", "0", "--timeout", "60"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://(\S+):(\d+)/", process.stderr.readline())
        assert found is not None
        try:
            yield (found[1], int(found[2])), process
        finally:
            process.terminate()


def memory(process: subprocess.Popen[str]) -> float:
    """MiB that a process holds now, on Linux."""
    [line] = [one for one in Path(f"/proc/{process.pid}/status").read_text().splitlines() if one.startswith("VmRSS")]
    return int(line.split()[1]) / 2**10


def cpu(process: subprocess.Popen[str]) -> float:
    """Seconds of CPU that a process has used, on Linux."""
    user, system = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ask_all(
    address: tuple[str, int], pictures: Sequence[bytes], expected: Sequence[Any], clients: int, seconds: float
) -> Load:
    """So many clients who ask one picture after the other."""
    load = Load(seconds)
    numbers = count()

    async def run() -> None:
        ends = time.perf_counter() + seconds
        await asyncio.gather(*(ask(address, pictures, expected, ends, load, numbers) for _ in range(clients)))

    began = time.perf_counter()
    asyncio.run(run())
    load.seconds = time.perf_counter() - began
    return load


async def ask(
    address: tuple[str, int],
    pictures: Sequence[bytes],
    expected: Sequence[Any],
    ends: float,
    load: Load,
    numbers: Iterator[int],
) -> None:
    """One client with one connection."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        while time.perf_counter() < ends and (number := next(numbers)) < MOST:
            which = number % len(pictures)
            began = time.perf_counter()
            status, answer = await post(reader, writer, pictures[which])
            if status == 503:
                load.refused += 1
                await asyncio.sleep(1)
                continue
            load.waited.append(time.perf_counter() - began)
            load.wrong += status != 200 or json.loads(answer)["pictures"][0]["rows"] != expected[which]
    except (OSError, EOFError):
        load.lost += 1
    finally:
        writer.close()


async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, picture: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a picture."""
    head = f"POST /v1/read HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(picture)}\r\n\r\n"
    writer.write(head.encode() + picture)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).decode()
    found = re.search(r"content-length: (\d+)", answer)
    assert found is not None
    return int(answer.split(" ", 2)[1]), await reader.readexactly(int(found[1]))


async def watch_all(address: tuple[str, int], streams: int, seconds: float) -> str:
    """Streams at RATE pictures a second each: what was answered, and how long after the picture was sent."""
    portrait = np.asarray(PIL.Image.open(PORTRAIT).resize((HEIGHT, HEIGHT)))
    films = []
    for number in range(40):  # the face wanders to and fro
        canvas = np.full((HEIGHT, WIDTH, 3), 110, np.uint8)
        at = 4 * min(number, 40 - number)
        canvas[:, at : at + HEIGHT] = portrait
        data = BytesIO()
        PIL.Image.fromarray(canvas).save(data, "JPEG", quality=85)
        films.append(data.getvalue())
    waited: list[float] = []
    sent = await asyncio.gather(*(watch(address, films, seconds, waited, n / streams) for n in range(streams)))
    p50, p95, p99 = np.percentile(waited, (50, 95, 99)) * 1000
    return (
        f"{streams} streams of {RATE} pictures a second: {len(waited) / seconds:.0f} of {sum(sent) / seconds:.0f} "
        f"answered a second ({len(waited) / sum(sent):.1%}), p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms"
    )


async def watch(
    address: tuple[str, int], film: Sequence[bytes], seconds: float, waited: list[float], shift: float
) -> int:
    """One stream; the number of pictures that were sent."""
    times: list[float] = []
    async with connect(f"ws://{address[0]}:{address[1]}/v1/watch", compression=None) as socket:

        async def answers() -> None:
            async for message in socket:
                said = json.loads(message)
                assert [row["person"] for row in said["rows"]] == [1], said
                waited.append(time.perf_counter() - times[said["frame"]])

        listening = asyncio.ensure_future(answers())
        began = time.perf_counter() + shift / RATE
        for number in range(int(seconds * RATE)):
            await asyncio.sleep(began + number / RATE - time.perf_counter())
            times.append(time.perf_counter())
            await socket.send(film[number % len(film)])
        await asyncio.sleep(1)
        await socket.close()
        await listening
    return len(times)


if __name__ == "__main__":
    main()
