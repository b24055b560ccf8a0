"""How many pictures the server reads a second, and how long each client waits, beside the pipeline alone.

    python benchmarks/serve.py [--seconds 60] [--clients 1 8 100] [--streams 20]

Everything is on this computer: the server as a process on a loopback port, the clients in this one. The pictures are of
640x480, each with the portrait of assets/ in another place and size, so that every answer shows whether it belongs to
its picture. The pipeline alone is a process of its own that reads the same pictures from memory with as many threads as
the server has, by turns with the clients. A client that is told that the server is busy waits a second, as it is
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
from collections.abc import Callable, Iterator, Sequence
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
MOST = 100_000  # requests of a turn
TURNS = 5


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
        alone(pictures)
        return
    expected = [Reader().read(picture).to_dicts() for picture in pictures]
    with serving() as (address, server), pipeline_alone() as ask_pipeline:
        ask_all(address, pictures, expected, 4, min(5, options.seconds), Load())  # warm
        ask_pipeline(min(2, options.seconds))
        before = memory(server)
        for clients in options.clients:
            load, alone_load, used = Load(), Load(), 0.0
            for _ in range(TURNS):  # by turns, so that both meet with what else the machine does
                alone_load.add(*ask_pipeline(options.seconds / TURNS))
                began = cpu(server)
                ask_all(address, pictures, expected, clients, options.seconds / TURNS, load)
                used += cpu(server) - began
            print(line(clients, load, alone_load, used), f"{memory(server):.0f} MiB", flush=True)
        if options.streams:
            began = cpu(server)
            said = asyncio.run(watch_all(address, options.streams, options.seconds))
            print(f"{said}; {(cpu(server) - began) / options.seconds:.2f} cores; {memory(server):.0f} MiB")
        print(f"memory of the server: {before:.0f} MiB when warm, {memory(server):.0f} MiB at the end")


@dataclass
class Load:
    """What was read, and what clients met with."""

    seconds: float = 0.0
    answers: int = 0
    cpu: float = 0.0  # seconds of it, of the pipeline alone
    waited: list[float] = field(default_factory=list)  # seconds for each answer
    refused: int = 0  # told that the server is busy
    wrong: int = 0  # of another picture
    lost: int = 0  # without an answer

    def add(self, answers: int, seconds: float, cpu: float = 0.0) -> None:
        """One turn more."""
        self.answers, self.seconds, self.cpu = self.answers + answers, self.seconds + seconds, self.cpu + cpu

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def line(clients: int, load: Load, alone: Load, used: float) -> str:
    """What so many clients met with, beside the pipeline alone."""
    p50, p95, p99 = np.percentile(load.waited, (50, 95, 99)) * 1000
    each, each_alone = used / load.answers, alone.cpu / alone.answers
    return (
        f"{clients} clients: {load.rate:.1f} answers a second, the pipeline alone {alone.rate:.1f}: "
        f"{load.rate / alone.rate:.2f}; "
        f"CPU {each * 1000:.1f} ms and {each_alone * 1000:.1f} ms: {each_alone / each:.2f}; "
        f"p50 {p50:.0f} p95 {p95:.0f} p99 {p99:.0f} ms; "
        f"{load.refused} busy, {load.wrong} of another picture, {load.lost} lost;"
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


def alone(pictures: Sequence[bytes]) -> None:
    """Read pictures from memory for as many seconds as each line of standard input says; print what was read."""
    cv2.setNumThreads(1)  # as in the server, whose threads are as many as the cores
    reader = Reader()

    def until(ends: float) -> Iterator[bytes]:
        for picture in cycle(pictures):
            if time.perf_counter() > ends:
                return
            yield picture

    for asked in sys.stdin:
        began, used = time.perf_counter(), time.process_time()
        read = sum(1 for _ in reader.read(until(began + float(asked)), workers=cores()))
        print(read, time.perf_counter() - began, time.process_time() - used, flush=True)


@contextmanager
def pipeline_alone() -> Iterator[Callable[[float], tuple[int, float, float]]]:
    """The same in a process of its own: pictures, seconds by the clock, seconds of CPU."""
    command = [sys.executable, __file__, "--alone"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def ask(seconds: float) -> tuple[int, float, float]:
            assert process.stdin is not None and process.stdout is not None
            print(seconds, file=process.stdin, flush=True)
            read, by_clock, used = process.stdout.readline().split()
            return int(read), float(by_clock), float(used)

        yield ask
        assert process.stdin is not None
        process.stdin.close()


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
    address: tuple[str, int],
    pictures: Sequence[bytes],
    expected: Sequence[Any],
    clients: int,
    seconds: float,
    load: Load,
) -> None:
    """So many clients who ask one picture after the other."""
    numbers = count()

    async def run() -> None:
        ends = time.perf_counter() + seconds
        await asyncio.gather(*(ask(address, pictures, expected, ends, load, numbers) for _ in range(clients)))

    began, before = time.perf_counter(), len(load.waited)
    asyncio.run(run())
    load.add(len(load.waited) - before, time.perf_counter() - began)


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
