"""The mark of ours in a domain's metadata: which instance, and which epoch of it."""

from xml.etree import ElementTree

from services.hypervisors.libvirt.names import MARK, NAMESPACE, PREFIX, SIGNAL, tag

UNMARKED = 0
"""The epoch of a domain that carries no mark: older than every one that was ever given."""

ElementTree.register_namespace(PREFIX, NAMESPACE)


def mark(instance_id: str, epoch: int) -> ElementTree.Element:
    return ElementTree.Element(tag(MARK), {"id": instance_id, "epoch": str(epoch)})


def mark_text(instance_id: str, epoch: int) -> str:
    """As libvirt's setMetadata takes it: without the prefix, which goes beside it."""
    return f'<{MARK} id="{instance_id}" epoch="{epoch}"/>'


def epoch_in(text: str) -> int:
    """Of the element as libvirt's `metadata` returns it."""
    found = ElementTree.fromstring(text)
    return _epoch(found if _is_mark(found) else next((each for each in found.iter() if _is_mark(each)), None))


def epoch_of(definition: str) -> int:
    """Of a whole domain's XML."""
    return _epoch(ElementTree.fromstring(definition).find(f"metadata/{tag(MARK)}"))


def replace_mark(domain: ElementTree.Element, instance_id: str, epoch: int) -> None:
    """The one mark in the domain's metadata is this; what else is there stays."""
    metadata = domain.find("metadata")
    if metadata is None:
        metadata = ElementTree.SubElement(domain, "metadata")
    for old in metadata.findall(tag(MARK)):
        metadata.remove(old)
    metadata.append(mark(instance_id, epoch))


def signal_of(domain: ElementTree.Element) -> tuple[str | None, str | None]:
    """Kind and line, as the owner of the definition wrote them."""
    found = domain.find(f"metadata/{tag(SIGNAL)}")
    return (None, None) if found is None else (found.get("kind"), found.get("line"))


def _is_mark(element: ElementTree.Element) -> bool:
    return element.tag in (MARK, tag(MARK))


def _epoch(element: ElementTree.Element | None) -> int:
    text = element.get("epoch", "") if element is not None else ""
    return int(text) if text.isdecimal() else UNMARKED
