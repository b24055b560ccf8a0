"""Training, export and evaluation; the only room with torch."""
