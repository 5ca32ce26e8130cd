"""Which proxy a request goes through, by the variables that curl and others read: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY
and NO_PROXY.

Nothing that goes to this machine itself ever does. What is shown of a proxy is its scheme, host and port, for the rest
of its address may be a password. Errors of the way through a proxy are `httpx.ProxyError`, with a sentence.
"""

import asyncio
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpx

from bot.common.errors import SettingsError

_SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443}
_PORT_DIGITS = 5
_THIS_MACHINE = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_HOST = re.compile(rb"[\w-]+(\.[\w-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*(%\w+)?")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_LIKE = "write one like http://proxy.example:3128 or socks5://127.0.0.1:1080"


class ProxyAway(httpx.ProxyError):
    """There is no way through the proxy, so that the request has not reached anybody."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy, and the variable that names it."""

    variable: str
    url: httpx.URL

    def __str__(self) -> str:
        port = "" if self.url.port is None else f":{self.url.port}"
        host = f"[{self.url.host}]" if ":" in self.url.host else self.url.host
        return f"the proxy {self.url.scheme}://{host}{port} ({self.variable})"


class Proxies:
    """The proxies of an environment.

    `variables` are its values by the first part of their names, in small letters: http, https, all and no, as
    `urllib.request.getproxies_environment` has them.
    """

    def __init__(self, variables: Mapping[str, str]) -> None:
        no_proxy = variables.get("no", "").replace(",", " ").split()
        self._exemptions = tuple(_Exemption.of(entry) for entry in no_proxy)
        self._by_scheme: dict[str, Proxy] = {}
        self.faults: tuple[str, ...] = ()
        """What is wrong with them, a sentence each."""
        if "*" in no_proxy:
            return
        for scheme in ("http", "https"):
            name = scheme if variables.get(scheme, "").strip() else "all"
            if not (value := variables.get(name, "").strip()):
                continue
            try:
                self._by_scheme[scheme] = _read(f"{name.upper()}_PROXY", value)
            except ValueError as error:
                self.faults = tuple(dict.fromkeys((*self.faults, str(error))))

    def proxy_for(self, url: str) -> Proxy | None:
        """The proxy through which `url` is reached; None: it is reached directly."""
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS.get(parts.scheme, 0)
        if is_this_machine(host) or any(each.covers(host, port) for each in self._exemptions):
            return None
        return self._by_scheme.get(parts.scheme)

    def transport(self, url: str, limits: httpx.Limits | None = None) -> httpx.AsyncBaseTransport:
        """A transport for requests to the server at `url`.

        Raises:
            SettingsError: the certificates that the environment names cannot be read.
        """
        limits = limits or httpx.Limits(max_connections=100, max_keepalive_connections=20)  # httpx's own
        proxy = self.proxy_for(url)
        if proxy is None:
            return httpx.AsyncHTTPTransport(verify=_certificates(), limits=limits)
        return _ProxyTransport(proxy, limits)

    def environment(self, *hosts: str) -> dict[str, str]:
        """The variables for a child, in a form that every library reads alike; `hosts` are those that it may reach.

        Raises:
            SettingsError: a proxy cannot be used.
        """
        if self.faults:
            raise SettingsError(self.faults)
        if not self._by_scheme:
            return {}
        direct = {urlsplit(host).hostname or "" for host in hosts if self.proxy_for(host) is None}
        exempt = ",".join(
            dict.fromkeys([*_LOOPBACK, *filter(_is_plain, (each.plain for each in self._exemptions)), *sorted(direct)])
        )
        found = {f"{scheme}_proxy": str(proxy.url) for scheme, proxy in self._by_scheme.items()}
        found["no_proxy"] = exempt
        return found | {name.upper(): value for name, value in found.items()}


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is the loopback's, to which no proxy leads."""
    address = _address(host)
    if address is None:
        return host in _THIS_MACHINE or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


@dataclass(frozen=True, slots=True)
class _Exemption:
    """One entry of NO_PROXY: a network, or a host with everything below it; perhaps for one port only."""

    plain: str
    """As everybody reads it."""
    network: IPv4Network | IPv6Network | None = None
    name: str = ""
    port: int | None = None

    @classmethod
    def of(cls, entry: str) -> "_Exemption":
        """An entry that is none covers nothing, as for curl."""
        whole = entry.lower().partition("://")[2].partition("/")[0] or entry.lower()
        host, colon, port = whole.rpartition(":")
        is_number = port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS
        has_port = bool(colon) and is_number and (host.endswith("]") or ":" not in host)
        host = (host if has_port else whole).replace("[", "").replace("]", "")
        with suppress(ValueError):
            return cls(
                host, network=ip_network(_address(host) or host, strict=False), port=int(port) if has_port else None
            )
        name = host.removeprefix("*").strip(".")
        return cls(whole, name=name, port=int(port) if has_port else None)

    def covers(self, host: str, port: int) -> bool:
        """Whether the host is reached directly."""
        if self.port not in (None, port):
            return False
        address = _address(host)
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        if "*" in self.name:
            return fnmatchcase(host, self.name)
        return bool(self.name) and (host == self.name or (address is None and host.endswith(f".{self.name}")))


class _ProxyTransport(httpx.AsyncBaseTransport):
    """Sends through a proxy, and says so where it fails."""

    def __init__(self, proxy: Proxy, limits: httpx.Limits) -> None:
        self._proxy = proxy
        through = httpx.Proxy(proxy.url, ssl_context=_certificates() if proxy.url.scheme == "https" else None)
        self._inner = httpx.AsyncHTTPTransport(verify=_certificates(), limits=limits, proxy=through)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises `httpx.ProxyError`: the proxy is away, or refuses, or what is behind it does not answer."""
        try:
            async with asyncio.timeout(self._patience(request)):
                response = await self._inner.handle_async_request(request)
        except httpx.PoolTimeout:
            raise
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            has_met_it = any(isinstance(each, ssl.SSLError) for each in _causes(error))
            why = "lets no secure connection through" if has_met_it else "does not answer"
            raise self._away(why, request) from error
        except httpx.ProxyError as error:
            raise self._away(f"refuses ({error})", request) from error
        except (TimeoutError, httpx.TimeoutException) as error:
            raise httpx.ProxyError(f"No answer came in time through {self._proxy}.", request=request) from error
        except httpx.TransportError as error:
            raise httpx.ProxyError(f"The connection through {self._proxy} broke.", request=request) from error
        except (httpx.StreamError, httpx.InvalidURL, RuntimeError):
            raise
        except Exception as error:
            raise self._away("is no SOCKS proxy, or a broken one", request) from error
        if response.status_code == httpx.codes.PROXY_AUTHENTICATION_REQUIRED:
            await response.aclose()
            raise self._away("refuses (407 Proxy Authentication Required)", request)
        return response

    def _patience(self, request: httpx.Request) -> float | None:
        """In seconds; None: httpx has its own. It has none while it negotiates with a SOCKS proxy."""
        waits: list[float | None] = list(request.extensions.get("timeout", {}).values())
        known = [wait for wait in waits if wait is not None]
        return sum(known) if self._proxy.url.scheme.startswith("socks") and len(known) == len(waits) else None

    def _away(self, why: str, request: httpx.Request) -> ProxyAway:
        words = str(self._proxy)
        more = ""
        if "407" in why or "password" in why:
            more = f": write {self._proxy.variable} as scheme://name:password@host:port, with @ in them as %40"
        return ProxyAway(f"{words[0].upper()}{words[1:]} {why}{more}.", request=request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _read(variable: str, value: str) -> Proxy:
    """The proxy that a variable names; ValueError with a sentence that does not quote it, for it may be a secret."""
    scheme, separator, _ = value.partition("://")
    if not separator:
        value = f"http://{value}"  # as curl and most others read it
    elif scheme.lower() == "socks":
        raise ValueError(f"{variable} begins with socks://, which names no version: write socks5://host:port.")
    elif scheme.lower() not in _SCHEMES:
        raise ValueError(f"{variable} begins with none of {', '.join(f'{each}://' for each in _SCHEMES)}: {_LIKE}.")
    try:
        url = httpx.URL(value)
        is_good = _HOST.fullmatch(url.raw_host) is not None and (url.port is None or 0 < url.port < 2**16)
    except (httpx.InvalidURL, ValueError):
        is_good = False
    if not is_good:
        raise ValueError(f"{variable} is no address of a proxy: {_LIKE}; in a name or password, write @ as %40.")
    if url.scheme.startswith("socks"):
        try:
            import socksio  # noqa: F401, PLC0415 - it may be missing
        except ImportError:
            raise ValueError(f"{variable} names a SOCKS proxy: run pip install 'httpx[socks]' first.") from None
    return Proxy(variable, url.copy_with(path="/", query=None, fragment=None))


def _is_plain(entry: str) -> bool:
    """Whether httpx, in whatever version a child has it, reads an entry of NO_PROXY: others end it with a traceback."""
    try:
        httpx.URL(f"all://{entry}" if _address(entry) is None else "all://host")
    except httpx.InvalidURL:
        return False
    return True


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(1)
def _certificates() -> ssl.SSLContext:
    """Read once: it takes longer than anything else in making a client."""
    try:
        return httpx.create_ssl_context()
    except OSError as error:
        raise SettingsError(
            ["SSL_CERT_FILE or SSL_CERT_DIR names no certificates that can be read: correct it, or unset it."]
        ) from error
