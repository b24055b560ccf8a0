"""The errors that a user can put right; anything else that is raised is a bug.

MienError
├── SourceError     what was to be read cannot be: a picture, a folder, a video, a camera
├── OutputError     what was to be written cannot be: an ending, a folder, a full disk
├── DataError       a data set is not in a form in which FER2013 or FER+ is published
├── ModelError      a model file is missing, broken or not the one that was expected
├── TrainingError   a training run cannot start, go on or be resumed
└── MissingExtra    a command needs a package that an extra of the install brings

Each message says what is wrong, then what to do. What was read nevertheless is told by a SourceWarning.
"""


class MienError(Exception):
    """Something that the user can put right; the command line prints it as one line and exits with 2."""


class SourceError(MienError):
    """A source cannot be read."""


class OutputError(MienError):
    """An output cannot be written."""


class DataError(MienError):
    """A data set is not what it should be."""


class ModelError(MienError):
    """A model file cannot be used."""


class TrainingError(MienError):
    """A training run cannot start, go on or be resumed."""


class SourceWarning(UserWarning):
    """A source was read, but not all of it was there."""


class MissingExtra(MienError):  # noqa: N818 - the name of what it is, as in `pip install 'mien[train]'`
    """A package is missing that one of the extras installs."""
