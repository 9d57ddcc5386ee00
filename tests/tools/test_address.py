"""No argument changes where a request goes."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.tools import SetupError, ToolError
from voicebridge.tools.address import Address

HOSTILE = st.text(max_size=40) | st.text("./\\%2eEfF?#@:;&=\x00\r\n ", max_size=20)


@given(HOSTILE, HOSTILE)
def test_scheme_host_and_the_other_segments_stay_whatever_the_arguments(order, query):
    address = Address.of("https://shop.example:8443/api/{order}/state?q={query}&all=1")
    try:
        url = address.render({"order": order, "query": query})
    except (ToolError, UnicodeEncodeError):
        return
    made = httpx.URL(url)
    assert (made.scheme, made.host, made.port) == ("https", "shop.example", 8443)
    head, middle, tail = made.raw_path.partition(b"?")[0].rpartition(b"/")
    assert (head.rpartition(b"/")[0], tail) == (b"/api", b"state")
    assert unquote(head.rpartition(b"/")[2].decode()) == order
    assert made.params.get_list("all") == ["1"]
    assert made.params["q"] == query
    assert made.fragment == ""


@pytest.mark.parametrize("value", ["..", ".", "", " ", "../admin", "a/b", "a\\b", "a\x00", "...", "a\nb"])
def test_a_value_that_is_no_segment_is_refused(value):
    with pytest.raises(ToolError):
        Address.of("http://shop.example/orders/{order}").render({"order": value})


def test_a_segment_may_be_part_text_part_value():
    assert Address.of("http://x.example/a-{n}.json").render({"n": ".."}) == "http://x.example/a-...json"
    assert Address.of("HTTP://x.example").render({}) == "http://x.example/"
    assert Address.of("http://[::1]:80/a").render({}) == "http://[::1]:80/a"


@pytest.mark.parametrize(
    "url",
    [
        "https://{host}/a", "{url}", "https://shop.example:{port}/", "ftp://shop.example/", "https:///a",
        "shop.example/a", "https://user@shop.example/", "https://shop.example\\@evil.example/",
        "https://shop.example /", "file:///etc/passwd", "https://shop.example/a#b",
        "https://shop.example:99999999/", "",
    ],
)  # fmt: skip
def test_an_address_without_a_fixed_host_is_refused(url):
    with pytest.raises(SetupError, match="url: "):
        Address.of(url)
