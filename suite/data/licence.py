"""Whether images of a data set may be passed on, told from its licence in this one place.

A report that is sent around is a publication. Unless its maker asks for more, it shows images only of sets whose
licence lets anybody redistribute them for any purpose; whatever is not known to do so does not.
"""

from __future__ import annotations

import re

from suite.registry import DataInfo

# Attribution and share-alike are met by naming licence and source beside the images. Licences with NC or ND
# are left out: who is sent a report may be anybody, and a small copy is a changed one.
_FREE = re.compile(
    r"CC0|CC BY(?:-SA)?(?: \d[\d.]*)?$|(?:Apache|MIT|BSD|PDDL|ODC-By)\b|public domain\b", re.IGNORECASE
)


def redistributable(info: DataInfo) -> bool:
    """Whether the set's licence allows to pass its images on, in a report for instance."""
    return _FREE.match(info.licence.strip()) is not None
