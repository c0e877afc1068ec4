"""The mark of ours in a domain's metadata: which instance, and which epoch of it."""

from xml.etree import ElementTree

from evacuation.epochs import UNMARKED
from services.definitions.libvirt.names import MARK, NAMESPACE, PREFIX, SIGNAL, tag
from services.definitions.libvirt.trees import LARGEST, number_in

ElementTree.register_namespace(PREFIX, NAMESPACE)


def mark_text(instance_id: str, epoch: int, before: str | None) -> str:
    """As libvirt's setMetadata takes it: without prefixes, which go beside it. `before` is the mark so far."""
    element = ElementTree.Element(MARK, {"id": instance_id, "epoch": str(epoch)})
    kind, line = _signal(_mark_in(ElementTree.fromstring(before))) if before else (None, None)
    if kind is not None:
        ElementTree.SubElement(element, SIGNAL, {"kind": kind} | ({"line": line} if line else {}))
    return ElementTree.tostring(element, encoding="unicode")


def epoch_in(text: str) -> int:
    """Of the element as libvirt's `metadata` returns it."""
    return _epoch(_mark_in(ElementTree.fromstring(text)))


def epoch_of(definition: str) -> int:
    """Of a whole domain's XML."""
    return _epoch(ElementTree.fromstring(definition).find(f"metadata/{tag(MARK)}"))


def replace_mark(domain: ElementTree.Element, instance_id: str, epoch: int) -> None:
    """The one mark in the domain's metadata says this; what it holds, and what else is there, stays."""
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = ElementTree.SubElement(domain, "metadata")
    marks = metadata.findall(tag(MARK)) or [ElementTree.SubElement(metadata, tag(MARK))]
    for superfluous in marks[1:]:
        metadata.remove(superfluous)
    marks[0].attrib.update({"id": instance_id, "epoch": str(epoch)})


def signal_of(domain: ElementTree.Element) -> tuple[str | None, str | None]:
    """Kind and line, as the owner of the definition wrote them."""
    return _signal(domain.find(f"metadata/{tag(MARK)}"))


def _signal(found: ElementTree.Element | None) -> tuple[str | None, str | None]:
    if found is None:
        return None, None
    signal = next((each for each in found if each.tag in (SIGNAL, tag(SIGNAL))), None)
    return (None, None) if signal is None else (signal.get("kind"), signal.get("line"))


def _mark_in(element: ElementTree.Element) -> ElementTree.Element | None:
    return next((each for each in element.iter() if _is_mark(each)), None)


def _is_mark(element: ElementTree.Element) -> bool:
    return element.tag in (MARK, tag(MARK))


def _epoch(element: ElementTree.Element | None) -> int:
    found = number_in(element.get("epoch", "")) if element is not None else None
    return found if found is not None and found <= LARGEST else UNMARKED
