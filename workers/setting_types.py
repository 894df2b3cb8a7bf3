"""What a setting may be: addresses, files, names, numbers, and the base of every section."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationInfo,
)

from proxy.limits.source import Network
from workers.database_url import read_url

SIP_PORT = 5060
DNS_PORT = 53
BROADCAST = ipaddress.ip_address("255.255.255.255")
_DOMAIN = re.compile(r"[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?)*\.?")
_PROFILE = re.compile(r"[A-Za-z0-9_.-]{1,31}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address to listen on; `host` is a literal without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(value: object, default_port: int = SIP_PORT) -> Endpoint:
    """An Endpoint of "192.0.2.1:5060" or "[2001:db8::1]:5060"; the port may be left out."""
    if isinstance(value, Endpoint):
        return value
    if not isinstance(value, str):
        raise ValueError('must be text such as "192.0.2.1:5060"')
    host, port = _split_endpoint(value, default_port)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise ValueError(
            f'is no address: write "192.0.2.1:{default_port}" or "[2001:db8::1]:{default_port}", '
            "not a name"
        ) from None
    if address.is_unspecified and default_port == SIP_PORT:
        raise ValueError("stands for any address, but Via needs one to name: list the addresses")
    if address.is_multicast or address == BROADCAST or "%" in host:
        raise ValueError("must be a unicast address without a zone")
    return Endpoint(str(address), port)


def _split_endpoint(value: str, default_port: int) -> tuple[str, int]:
    bracketed = re.fullmatch(r"\[([^\[\]]*)\](?::(\d+))?", value)
    plain = bracketed or re.fullmatch(r"([^:\[\]]*)(?::(\d+))?", value)
    if plain is None:
        raise ValueError('is no address: write "192.0.2.1:5060" or "[2001:db8::1]:5060"')
    port = int(plain[2] or default_port)
    if not 0 < port < 65_536:
        raise ValueError("has a port outside 1 to 65535")
    return plain[1], port


def _name_server(value: object) -> Endpoint:
    return parse_endpoint(value, DNS_PORT)


def _network(value: object) -> Network:
    if isinstance(value, (ipaddress.IPv4Network, ipaddress.IPv6Network)):
        return value
    try:
        return ipaddress.ip_network(value if isinstance(value, str) else "")
    except ValueError:
        raise ValueError('is no network: write "10.0.0.0/8" or "2001:db8::/32"') from None


def _domain(value: str) -> str:
    if not _DOMAIN.fullmatch(value.lower()):
        raise ValueError("is not a domain name")
    return value.lower().rstrip(".")


def _profile_name(value: str) -> str:
    if not _PROFILE.fullmatch(value):
        raise ValueError("is no name of a profile: 1 to 31 letters, digits, and _ . -")
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if isinstance(value, Path):
        return value
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("must be the name of a file or folder")
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return Path(os.path.normpath(folder.joinpath(value).absolute()))


def _database_url(value: object, info: ValidationInfo) -> object:
    folder: Path = info.context["folder"] if info.context else Path.cwd()
    return read_url(value, folder) if isinstance(value, str) else value


def readable_file(value: Path) -> Path:
    """A file that this process may read."""
    try:
        value.open("rb").close()
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return value


def possible_folder(value: Path) -> Path:
    """A folder, or what can become one."""
    try:
        if value.exists() and not value.is_dir():
            raise ValueError("is not a folder")
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    return value


FilePath = Annotated[Path, BeforeValidator(_path)]
Domain = Annotated[StrictStr, AfterValidator(_domain)]
ListenAddress = Annotated[Endpoint, BeforeValidator(parse_endpoint)]
DatabaseUrl = Annotated[StrictStr, BeforeValidator(_database_url)]
NameServer = Annotated[Endpoint, BeforeValidator(_name_server)]
NetworkAddress = Annotated[Network, BeforeValidator(_network)]
ProfileName = Annotated[StrictStr, AfterValidator(_profile_name)]
Whole = StrictInt
Fraction = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Section(BaseModel):
    """A table of the file: frozen, unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
