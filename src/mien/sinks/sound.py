"""The sound of a source, added to a recording; whatever is wrong with it, the pictures go on."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from mien.errors import SourceWarning

if TYPE_CHECKING:
    from av import AudioStream
    from av.container import InputContainer, OutputContainer

RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
"""The samples a second that AAC knows, up to those of films."""

JITTER = 0.1  # seconds by which times of the sound may differ from the count of its samples


class Sound:
    """The sound of a file, added to a recording up to the time that the pictures have reached.

    AAC is copied as it is, anything else encoded anew; a file without sound adds none. Where the sound is damaged, of a
    kind that FFmpeg does not know, or does not come within `timeout` seconds, it ends there with a SourceWarning.
    """

    def __init__(
        self, address: str, container: OutputContainer, opened: ExitStack, timeout: float | None = None
    ) -> None:
        import av

        self.container = container
        self.stream: AudioStream | None = None
        self.copied = False
        self._parts: Iterator[Any] = iter(())
        self._next: Any = None
        with self._warned():
            source: InputContainer = opened.enter_context(av.open(address, timeout=timeout))
            sound = next(iter(source.streams.audio), None)
            if sound is None:
                return
            if sound.codec_context is None:
                raise ValueError("its codec is not known")
            self.zero = _start_of_pictures(source)
            self.copied = sound.codec_context.name == "aac" and bool(sound.codec_context.extradata)
            self.stream = self._add_stream(sound)
            self._parts = self._copied(source, sound) if self.copied else self._encoded(source, sound)
        self._next = self._fetch()

    def reach(self, time: float) -> None:
        """Add what is heard until `time` in seconds."""
        while self._next is not None and float(self._next.pts * self._next.time_base) <= time:
            part = self._next
            with self._warned():
                self.container.mux(part if self.copied else self._encode(part))
            self._next = self._fetch()

    def finish(self, time: float) -> None:
        """Add what is still held back."""
        self.reach(time)
        if self.stream is not None and not self.copied:
            with self._warned():
                self.container.mux(self._encode(None))

    def _fetch(self) -> Any:
        with self._warned():
            return next(self._parts, None)
        return None

    def _encode(self, part: Any) -> Any:
        assert self.stream is not None
        return self.stream.encode(part)

    @contextmanager
    def _warned(self) -> Iterator[None]:
        """Leave out the sound from here on where something is wrong with it: the pictures go on."""
        import av

        try:
            yield
        except (av.FFmpegError, ValueError, TypeError, OverflowError, ArithmeticError) as error:
            self._parts, self._next = iter(()), None
            said = " ".join((getattr(error, "strerror", None) or str(error)).split())[:100]
            warnings.warn(f"the sound is left out from here on ({said})", SourceWarning, stacklevel=2)

    def _add_stream(self, source: AudioStream) -> AudioStream:
        if self.copied:
            return self.container.add_stream_from_template(source)
        stream = self.container.add_stream("aac", rate=source.rate if source.rate in RATES else 44_100)
        stream.layout = "stereo" if source.channels > 1 else "mono"
        return stream

    def _copied(self, source: InputContainer, sound: AudioStream) -> Iterator[Any]:
        """Yield packets with the beginning of the pictures as time 0; what begins anew or has no time is left out."""
        last = -1
        for packet in source.demux(sound):
            if packet.pts is None or packet.time_base is None:
                continue
            packet.pts -= round(self.zero / packet.time_base)
            packet.dts = packet.pts
            if packet.pts > last:
                last, packet.stream = packet.pts, self.stream  # type: ignore[assignment]
                yield packet

    def _encoded(self, source: InputContainer, sound: AudioStream) -> Iterator[Any]:
        """Yield frames as the encoder wants them, their times counted in samples from the beginning of the pictures."""
        import av

        assert self.stream is not None
        rate = self.stream.rate
        resampler = av.AudioResampler(self.stream.format, self.stream.layout, rate)
        due = 0  # the sample that the next frame begins with
        for packet in source.demux(sound):
            try:
                frames = packet.decode()
            except av.FFmpegError:  # one damaged packet
                continue
            for frame in frames:
                begins = due if frame.time is None else round((frame.time - float(self.zero)) * rate)
                if begins < due - rate * JITTER:  # before the pictures, or begun anew
                    continue
                due = max(begins, due) if begins > due + rate * JITTER else due
                frame.pts = None
                for part in resampler.resample(frame):
                    part.pts, part.time_base = due, Fraction(1, rate)
                    due += part.samples
                    yield part


def _start_of_pictures(container: InputContainer) -> Fraction:
    """Return the time in seconds, on a file's own clock, of its first picture."""
    video = next(iter(container.streams.video), None)
    return Fraction(video.start_time or 0) * (video.time_base or 0) if video else Fraction(0)
