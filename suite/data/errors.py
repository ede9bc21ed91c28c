"""The two ways in which data stop a run. Each carries one line that names the thing and the fix."""

from __future__ import annotations


class DataMissing(Exception):  # noqa: N818 - the data are not at hand; nothing is wrong with them
    """The data set is not at hand; the message says what is missing and how to get it."""


class DataFault(Exception):  # noqa: N818 - see DataMissing
    """The data are at hand but wrong: corrupt, in an unknown layout, or too few for what is asked."""


class DamagedPack(DataFault):
    """A pack whose files are not what they were when it was made."""
