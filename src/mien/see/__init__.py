"""The runtime: a frame goes in, readings come out."""
