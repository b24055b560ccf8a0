"""Frames in: pictures, videos, cameras and streams, each an iterable of `Frame`."""
