"""XMP packets as trees: read whatever their encoding, changed, and written in UTF-8 (ISO 16684, XML 1.0).

Prefixes belong to a packet: nothing depends on what the process saw before. Size, depth and number of parts are
limited, since a small file can hold a packet that would take minutes.
"""

import codecs
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element, SubElement, TreeBuilder
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

MAX_BYTES, MAX_DEPTH, MAX_PARTS = 1 << 24, 64, 100_000  # parts: elements, attributes, namespaces
XML = "http://www.w3.org/XML/1998/namespace"
X, RDF = "{adobe:ns:meta/}", "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"  # as ElementTree writes names
PREFIXES = {
    "adobe:ns:meta/": "x",
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.adobe.com/xmp/note/": "xmpNote",
    "urn:photochrom:1.0:": "photochrom",
}
# Byte order marks, longest first; without one, the first character "<" shows the encoding.
ENCODINGS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    b"<\0\0\0": "utf-32-le",
    b"\0\0\0<": "utf-32-be",
    b"<\0": "utf-16-le",
    b"\0<": "utf-16-be",
}


@dataclass
class Packet:
    """A packet: its root, the rdf:RDF element in it, and the prefixes of namespaces in the original."""

    root: Element
    rdf: Element
    prefixes: dict[str, str] = field(default_factory=dict)

    @property
    def descriptions(self) -> list[Element]:
        """The elements whose attributes and children are the properties."""
        return self.rdf.findall(RDF + "Description")

    def names(self) -> set[str]:
        """Returns the names of all properties."""
        return {
            name for description in self.descriptions for name in (*description.keys(), *(c.tag for c in description))
        }

    def get(self, name: str) -> str | None:
        """Returns a simple property, which may be an attribute or an element."""
        for description in self.descriptions:
            value = description.get(name, description.findtext(name))
            if value is not None:
                return value.strip()
        return None

    def remove(self, names: Collection[str]) -> None:
        """Removes properties."""
        for description in self.descriptions:
            for name in [name for name, _ in description.items() if name in names]:
                del description.attrib[name]
            description[:] = [child for child in description if child.tag not in names]

    def replace(self, name: str, value: str) -> None:
        """Changes a simple property, where there is one."""
        for description in self.descriptions:
            if name in description.attrib:
                description.set(name, value)
            for child in description.findall(name):
                child.text = value

    def add(self, properties: dict[str, str]) -> None:
        """Adds simple properties, in place of those of the same names."""
        about = ""
        for description in self.descriptions:
            about = description.get(RDF + "about", about)
        self.remove(properties.keys())
        addition = SubElement(self.rdf, RDF + "Description", {RDF + "about": about})
        for name, value in properties.items():
            SubElement(addition, name).text = value

    def serialize(self) -> bytes:
        """Returns the packet in UTF-8."""
        return _Writer(self.prefixes).write(self.root)

    def measure(self, elements: Iterable[Element]) -> list[int]:
        """Returns the number of bytes that each element takes."""
        writer = _Writer(self.prefixes)
        return [len(writer.body(element).encode()) for element in elements]


def empty_packet() -> Packet:
    """Returns a packet without properties."""
    root = Element(X + "xmpmeta")
    return Packet(root, SubElement(root, RDF + "RDF"))


def parse_packet(packet: bytes, is_own: bool = False) -> Packet:
    """Returns a packet.

    Raises ValueError for one that is not well-formed, has a document type, or is too large and not our own.
    """
    prefixes: dict[str, str] = {}
    builder, parser = TreeBuilder(), expat.ParserCreate(namespace_separator="}")
    depth = parts = 0

    def check(condition: bool) -> None:
        if not condition and not is_own:
            raise ValueError("too large")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, parts
        depth, parts = depth + 1, parts + 1 + len(attributes)
        check(depth <= MAX_DEPTH and parts <= MAX_PARTS)
        builder.start(_clark(name), {_clark(key): value for key, value in attributes.items()})

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_clark(name))

    def declare(prefix: str | None, uri: str | None) -> None:
        nonlocal parts
        parts += 1
        check(parts <= MAX_PARTS)
        prefixes.setdefault(uri or "", prefix or "")

    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = start, end
    parser.CharacterDataHandler, parser.StartNamespaceDeclHandler = builder.data, declare
    parser.StartDoctypeDeclHandler = lambda *_: check(False)  # it may define entities
    try:
        check(len(packet) <= MAX_BYTES)
        parser.Parse(_in_utf8(packet), True)
    except (expat.ExpatError, LookupError) as error:  # of encodings that expat does not know, too
        raise ValueError(str(error)) from None
    root = builder.close()
    rdf = root if root.tag == RDF + "RDF" else root.find(RDF + "RDF")
    if rdf is None:
        raise ValueError("no RDF")
    return Packet(root, rdf, prefixes)


def _clark(name: str) -> str:
    return "{" + name if "}" in name else name


def _in_utf8(packet: bytes) -> bytes:
    """Returns the packet without its byte order mark and padding, and in UTF-8 if it was in UTF-16 or UTF-32."""
    for start, encoding in ENCODINGS.items():
        if packet.startswith(start):
            width = {"16": 2, "32": 4}.get(encoding[4:6], 1)
            text = packet[: len(packet) // width * width].decode(encoding).strip("\0 \r\n\t\ufeff")
            if text.startswith("<?xml "):  # it names the former encoding
                text = text.partition("?>")[2]
            return text.lstrip().encode()
    return packet.strip(b"\0 \r\n\t")


class _Writer:
    """Writes a tree with the prefixes of its original, all declared at the root."""

    def __init__(self, prefixes: dict[str, str]) -> None:
        self.wanted, self.chosen = PREFIXES | prefixes, {XML: "xml"}
        self.taken, self.number = {"xml", "xmlns", ""}, 0

    def write(self, root: Element) -> bytes:
        body = self.body(root)
        declarations = "".join(f" xmlns:{prefix}={quoteattr(uri)}" for uri, prefix in self.chosen.items() if uri != XML)
        name = self._name(root.tag)
        return f"<{name}{declarations}{body[len(name) + 1 :]}".encode()

    def body(self, element: Element) -> str:
        return "".join(self._element(element))

    def _element(self, element: Element) -> Iterator[str]:
        name = self._name(element.tag)
        yield "<" + name
        for key, value in element.items():
            yield f" {self._name(key)}={quoteattr(value)}"
        yield ">" + _escape(element.text)
        for child in element:
            yield from self._element(child)
            yield _escape(child.tail)
        yield f"</{name}>"

    def _name(self, name: str) -> str:
        if not name.startswith("{"):
            return name
        uri, _, local = name[1:].rpartition("}")
        if uri not in self.chosen:
            prefix = self.wanted.get(uri, "")
            while prefix in self.taken:
                self.number += 1
                prefix = f"ns{self.number}"
            self.chosen[uri] = prefix
            self.taken.add(prefix)
        return f"{self.chosen[uri]}:{local}"


def _escape(text: str | None) -> str:
    return escape(text or "", {"\r": "&#13;"})
