"""Which proxy is used for what, and that one which is wrong or away is told in a sentence without its password."""

import gc
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from bot.common.errors import SettingsError
from bot.common.proxies import Proxies, ProxyAway
from bot.common.settings import Settings, computing_environment
from tests.support.fake_engine import FakeEngine
from tests.support.proxy import FakeProxy

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
PROXY = "http://proxy.example:3128"


@pytest.fixture
def collected() -> Iterator[None]:
    """httpcore leaves a socket on which it could not come to terms with a SOCKS proxy to the collector.

    To collect takes half a second where torch is loaded: only tests that leave such a socket ask for it.
    """
    yield
    gc.collect()


def way(url: str, **variables: str) -> str:
    proxy = Proxies(variables).proxy_for(url)
    return "directly" if proxy is None else str(proxy)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.8.9.1", "[::1]", "[::ffff:127.0.0.1]",
     "0.0.0.0", "ip6-localhost"],
)  # fmt: skip
def test_nothing_that_stays_on_this_machine_goes_through_a_proxy(host: str) -> None:
    for scheme in ("http", "https"):
        assert way(f"{scheme}://{host}:8001/v1", all=PROXY, http=PROXY, https=PROXY) == "directly"


def test_the_more_particular_variable_wins_and_one_without_a_scheme_is_http() -> None:
    assert way("https://api.telegram.org", all=PROXY) == f"the proxy {PROXY} (ALL_PROXY)"
    assert way("https://api.telegram.org", all=PROXY, https="other:1") == "the proxy http://other:1 (HTTPS_PROXY)"
    assert way("https://api.telegram.org", http=PROXY) == "directly"
    assert way("http://gpu.example", http="", all=PROXY) == f"the proxy {PROXY} (ALL_PROXY)"
    assert (
        way("https://h", https="socks5h://[2001:db8::1]:1080") == "the proxy socks5h://[2001:db8::1]:1080 (HTTPS_PROXY)"
    )


@pytest.mark.parametrize(
    ("no", "url", "is_direct"),
    [
        ("*", "http://gpu", True),
        ("a, *", "http://gpu", True),
        ("corp.example", "http://gpu.corp.example", True),
        (".corp.example", "http://gpu.corp.example.", True),
        ("*.corp.example", "http://gpu.corp.example", True),
        ("Corp.Example", "http://corp.example", True),
        ("corp.example", "http://notcorp.example", False),
        ("other corp.example", "http://corp.example", True),
        ("http://corp.example", "http://corp.example", True),
        ("gpu-*", "http://gpu-7", True),
        ("gpu:8001", "http://gpu:8001", True),
        ("gpu:8001", "http://gpu:8002", False),
        ("gpu:80", "http://gpu", True),
        (f"gpu:{'9' * 5000} 10.1.2.3:{'9' * 5000}", "http://gpu", False),
        ("10.0.0.0/8", "http://10.1.2.3:8001", True),
        ("10.1.2.3/8", "http://10.200.0.1", True),
        ("10.0.0.0/8", "http://11.1.2.3", False),
        ("10.0.0.0/8", "http://[::ffff:10.1.2.3]", True),
        ("10.0.0.0/8", "http://10.example", False),
        ("10.1.2.3:8001", "http://10.1.2.3:8001", True),
        ("10.*", "http://10.1.2.3", True),
        ("2.3", "http://10.1.2.3", False),
        ("2001:db8::/32", "http://[2001:db8::5]:80", True),
        ("[2001:db8::]/32", "http://[2001:db8::5]:80", True),
        ("2001:db8::5", "http://[2001:db8:0:0::5]:80", True),
        ("[2001:db8::5]", "http://[2001:db8::5]:80", True),
        ("[2001:db8::5]:81", "http://[2001:db8::5]:81", True),
        ("[2001:db8::5]:81", "http://[2001:db8::5]:82", False),
        ("2001:db8::/32", "http://[2001:db9::5]", False),
        *((nonsense, "http://gpu", False) for nonsense in ("", ",,", "[::", "10.0.0.0/99", ":", "/", "%", "gpu:99999")),
    ],
)  # fmt: skip
def test_no_proxy_is_read_as_curl_reads_it(no: str, url: str, is_direct: bool) -> None:
    assert (way(url, all=PROXY, no=no) == "directly") is is_direct


@pytest.mark.parametrize(
    "value",
    ["socks://p:1", "socks4://p:1", "ftp://p:1", "://p", "//p", "http://", "http://:3128", "http://p:abc", "http://p:0",
     "http://p:99999", "http://p:-1", 'http://p:3128"', "http://[::1", "http://p q:1", "http://..", "http://\udcff:1",
     "http://p\x00", "http://p::1", "http://*:1", "http://256.1.1.1:1"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["all", "https", "http"])
def test_a_proxy_that_is_none_is_one_sentence_that_does_not_quote_it(name: str, value: str) -> None:
    (fault,) = Proxies({name: value}).faults
    assert fault.startswith(f"{name.upper()}_PROXY ") and fault.endswith(".")
    secret = value.replace("p", "user:pa%40ss@p", 1) if "//p" in value else value
    assert "pa%40ss" not in "".join(Proxies({name: secret}).faults)


def test_what_no_address_is_left_to_is_no_fault() -> None:
    assert Proxies({"all": "socks://p:1", "http": PROXY, "https": PROXY}).faults == ()
    assert Proxies({"all": "socks://p:1", "no": "*"}).faults == ()
    assert Proxies({"ftp": "nonsense:"}).faults == ()


@pytest.mark.parametrize("name", ["http_proxy", "HTTPS_PROXY", "All_Proxy"])
def test_the_start_says_so_with_the_other_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "socks://p:1")
    with pytest.raises(SettingsError) as caught:
        Settings.load(tmp_path / ".env")
    assert len(caught.value.problems) == 2 and f"{name.upper()} begins with socks://" in caught.value.problems[1]
    with pytest.raises(SettingsError):
        computing_environment()


@pytest.mark.parametrize("address", ["http://hub:99999999", "http://hub:abc", "http://[bad", "hub.corp.example", "//"])
def test_a_hub_that_is_none_is_told_at_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", PROXY)
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(SettingsError) as caught:
        Settings.load(tmp_path / ".env")
    assert caught.value.problems[-1].startswith("HF_ENDPOINT is no address")
    with pytest.raises(SettingsError):
        computing_environment()


def test_a_child_gets_the_proxies_in_a_form_that_every_library_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "proxy.example:3128")
    monkeypatch.setenv("no_proxy", "*.corp.example [2001:db8::]/32 [2001:db8::7]:80,10.0.0.0/8")
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.corp.example")
    found = computing_environment()
    for name in ("http_proxy", "HTTPS_PROXY"):
        assert found[name] == f"{PROXY}/"
    assert "ALL_PROXY" not in found
    assert {"localhost", "127.0.0.1", "::1", "hub.corp.example"} <= set(found["no_proxy"].split(","))
    assert found["no_proxy"] == found["NO_PROXY"]
    for name in [each for each in os.environ if each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    httpx.Client().close()  # which raises for entries that it cannot read


@pytest.fixture
async def proxy() -> AsyncIterator[FakeProxy]:
    async with FakeProxy().running() as running:
        yield running


async def get(url: str, **variables: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=Proxies(variables).transport(url)) as http:
        return await http.get(url)


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_requests_to_other_hosts_go_through_it_and_those_to_this_machine_do_not(
    proxy: FakeProxy, fake_engine: FakeEngine, scheme: str
) -> None:
    port = fake_engine.url.rpartition(":")[2]
    variables = {"all": f"{scheme}://{proxy.address}"}
    assert (await get(f"http://gpu.example:{port}/health", **variables)).is_success
    assert proxy.asked == [f"gpu.example:{port}"]
    assert (await get(f"{fake_engine.url}/health", **variables)).is_success
    assert (await get(f"http://localhost:{port}/health", **variables)).is_success
    assert len(proxy.asked) == 1


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize("url", ["http://gpu.example", "https://gpu.example"])
async def test_a_proxy_that_is_away_is_told_from_a_server_that_is(scheme: str, url: str) -> None:
    with pytest.raises(ProxyAway) as caught:
        await get(url, all=f"{scheme}://user:pass@127.0.0.1:1")
    assert str(caught.value) == f"The proxy {scheme}://127.0.0.1:1 (ALL_PROXY) does not answer."


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize(
    ("scheme", "url", "answer", "says"),
    [
        ("http", "http://gpu", "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "refuses .407 .*write ALL_PROXY as"),
        ("http", "https://gpu", "HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n", "refuses .407 .*write ALL_PROXY as"),
        ("http", "https://gpu", "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "refuses .403 No"),
        ("http", "https://gpu", "nonsense\r\n\r\n", "connection through the proxy .* broke"),
        ("http", "http://gpu", "HTTP/1.1 2", "connection through the proxy .* broke"),
        ("socks5", "http://gpu", "HTTP/1.1 400 What\r\n\r\n", "is no SOCKS proxy"),
        ("socks5", "http://gpu", "\x05\xff", "refuses"),
        ("socks5", "http://gpu", "\x05\x02", "refuses"),
        ("socks5", "https://gpu", "\x05\x00\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00", "refuses .*refused"),
        ("socks5", "http://gpu", "\x05", "SOCKS|broke"),
        ("socks5", "http://gpu", "\x05\x00\x05", "SOCKS|broke"),
    ],
)  # fmt: skip
async def test_a_proxy_that_refuses_or_speaks_nonsense_is_told(scheme: str, url: str, answer: str, says: str) -> None:
    async with FakeProxy(answer).running() as proxy:
        with pytest.raises(httpx.ProxyError, match=says):
            await get(url, all=f"{scheme}://{proxy.address}")


@pytest.mark.usefixtures("collected")
@pytest.mark.parametrize("scheme", ["http", "socks5"])
@pytest.mark.parametrize("url", ["http://gpu", "https://gpu"])
async def test_a_proxy_that_says_nothing_is_told(scheme: str, url: str) -> None:
    async with FakeProxy("").running() as proxy:
        transport = Proxies({"all": f"{scheme}://{proxy.address}"}).transport(url)
        async with httpx.AsyncClient(transport=transport, timeout=0.1) as http:
            with pytest.raises(httpx.ProxyError, match=rf"through the proxy {scheme}://{proxy.address}"):
                await http.get(url)
