"""Training, distillation and export; the only room with torch."""
