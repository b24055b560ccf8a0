"""Frames in, results out: sources, pictures, tables."""
