"""The seven emotions: their order, their FER2013 codes, their FER+ columns, a colour each; the size of a face."""

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""The emotions in the order of FER2013's codes 0 to 6; every seven scores in Mien stand in this order."""

FERPLUS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt", "unknown", "NF")
"""The vote columns of FER+ (Barsoum et al. 2016, arXiv:1608.01041) in their published order; NF is "not a face"."""

FERPLUS_COLUMNS = (4, 5, 6, 1, 3, 2, 0)
"""For each emotion of `EMOTIONS`, the FER+ column that holds its votes; contempt (7) has no emotion here."""

COLOURS = (
    (214, 39, 40),
    (140, 160, 40),
    (148, 103, 189),
    (255, 191, 0),
    (70, 130, 220),
    (23, 190, 207),
    (160, 160, 160),
)
"""A colour for each emotion, RGB bytes, told apart on dark and on light pictures."""

SIDE = 48
"""Pixels of a side of FER2013's pictures, and so of every crop of a face."""
