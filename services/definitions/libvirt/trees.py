"""XML and numbers of strangers, read so that whatever they wrote takes little time and little memory."""

from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from evacuation.errors import MalformedDefinitionError

DEEPEST = 64
MOST_ELEMENTS = 20_000
LARGEST = 2**31 - 1
"""Of a number that the store keeps."""
MOST_DIGITS = 18
REMEDY = "give it as `virsh dumpxml` does"


def tree_of(text: str) -> Element:
    """Raises MalformedDefinitionError."""
    # A document type is all that could make a parser expand or fetch anything, and libvirt writes none.
    if "<!DOCTYPE" in text:
        raise MalformedDefinitionError("the definition has a document type", remedy=REMEDY)
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise MalformedDefinitionError(f"the definition is not XML: {error}", remedy=REMEDY) from error
    except ValueError as error:
        raise MalformedDefinitionError(f"the definition cannot be read: {error}", remedy=REMEDY) from error
    _require_measure(root)
    return root


def _require_measure(root: Element) -> None:
    """Level by level: what is written out again goes down into it by recursion."""
    level, elements = [root], 0
    for _ in range(DEEPEST):
        elements += len(level)
        if elements > MOST_ELEMENTS:
            raise MalformedDefinitionError(f"the definition has more than {MOST_ELEMENTS:,} elements", remedy=REMEDY)
        level = [child for each in level for child in each]
        if not level:
            return
    raise MalformedDefinitionError(f"the definition is more than {DEEPEST} elements deep", remedy=REMEDY)


def number_in(text: str) -> int | None:
    """None: it is no number, or none of anything that there is."""
    return int(text) if len(text) <= MOST_DIGITS and text.isdecimal() else None
