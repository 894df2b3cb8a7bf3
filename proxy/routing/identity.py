"""What we are called: our listeners and our domains, and what follows from that for a URI."""

from __future__ import annotations

from proxy.constants import SIP_PORT
from proxy.registrar.domains import Domains
from proxy.sip.address import Address
from proxy.sip.uri import Uri


class Identity:
    """The addresses we listen on and the domains we serve.

    `listeners` in the order of their indices; `domains` in lower case.
    """

    def __init__(self, listeners: list[Address], domains: tuple[bytes, ...]) -> None:
        self.listeners = tuple(listeners)
        self.domains = Domains(domains)
        self.hosts = {(one.host, one.port): i for i, one in enumerate(listeners)}
        self.ports = {listener.port for listener in listeners}
        self.hostports = {listener.hostport: i for i, listener in enumerate(listeners)}
        self.vias = tuple(b"Via: SIP/2.0/UDP " + one.hostport + b";branch=" for one in listeners)
        self.routes = tuple(b"<sip:" + one.hostport + b";lr" for one in listeners)
        self.v4 = next((i for i, one in enumerate(listeners) if not one.is_v6), -1)
        self.v6 = next((i for i, one in enumerate(listeners) if one.is_v6), -1)

    def is_listener(self, host: bytes, port: int) -> bool:
        """Whether host and port (0: the default) are one of our listeners."""
        return (host, port or SIP_PORT) in self.hosts

    def serves(self, host: bytes) -> bool:
        """Whether a host, from a URI, is one of our domains."""
        return self.domains.serves(host)

    def is_ours(self, uri: Uri) -> bool:
        """Whether a request for this URI is for us: one of our domains or listeners."""
        if self.domains.serves(uri.host):
            return uri.port == 0 or uri.port == SIP_PORT or uri.port in self.ports
        return self.is_listener(uri.host, uri.port)

    def names_us(self, uri: Uri) -> bool:
        """Whether somebody who gives this address claims to be one of our users."""
        return self.domains.serves(uri.host) or self.is_ours(uri)

    def listener_towards(self, address: Address, preferred: int) -> int:
        """The listener to send from: `preferred` if its family fits; -1 if none does."""
        listener: Address = self.listeners[preferred]
        if listener.is_v6 == address.is_v6:
            return preferred
        return self.v6 if address.is_v6 else self.v4
