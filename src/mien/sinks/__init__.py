"""Results out: tables, pictures, videos, a window; each a context manager with `write(frame, readings)`."""
