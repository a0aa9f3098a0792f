"""OPC UA node ids as text, by namespace URI: indexes change when a server is reconfigured, URIs do not."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from uuid import UUID

from core.errors import Rejected

_NODE = re.compile(r"\s*(?:nsu=(?P<uri>[^;]+);|ns=(?P<index>[0-9]{1,5});)?(?P<kind>[isgb])=(?P<identifier>.+?)\s*")
STRING_CHARACTERS_MAX = 4096
"""Of a string identifier (Part 3, 8.2.4)."""


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """A node id (Part 6, 5.3.1.10): by `uri` when given, else by namespace `index`."""

    text: str
    uri: str | None
    index: int
    identifier: int | str | UUID | bytes

    @classmethod
    def parse(cls, text: str) -> NodeAddress:
        """Read `nsu=urn:x;s=Y`, `ns=2;s=Y`, `i=2258`; Rejected `not_a_node_id` otherwise."""
        match = _NODE.fullmatch(text)
        if match is None:
            raise Rejected("not_a_node_id", _expected(text))
        try:
            identifier = _identifier(match["kind"], match["identifier"])
        except (ValueError, binascii.Error):
            raise Rejected("not_a_node_id", _expected(text)) from None
        index = int(match["index"] or 0)
        if index > 65535:
            raise Rejected("not_a_node_id", f"{text!r}: a namespace index is at most 65535")
        # A ';' or '%' in a URI is written %3B or %25.
        uri = None if match["uri"] is None else match["uri"].replace("%3B", ";").replace("%25", "%")
        return cls(text.strip(), uri, index, identifier)

    def __str__(self) -> str:
        return self.text


def _identifier(kind: str, text: str) -> int | str | UUID | bytes:
    if kind == "i":
        number = int(text)
        if not 0 <= number < 1 << 32:
            raise ValueError(text)
        return number
    if kind == "g":
        return UUID(text)
    if kind == "b":
        return base64.b64decode(text, validate=True)
    if len(text) > STRING_CHARACTERS_MAX:
        raise ValueError(text)
    return text


def _expected(text: str) -> str:
    return f"expected a node id such as 'nsu=urn:plant:logistics;s=Warehouse.PalletsIn' or 'ns=2;i=1001', got {text!r}"
