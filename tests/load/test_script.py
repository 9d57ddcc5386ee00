"""The scenario for SIPp: well-formed, whole in its jumps, and nothing can break out of a header."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from voicebridge.audio.g711 import LAWS, MU
from voicebridge.load.script import CODES, Account, Script


def scenario(**options) -> ET.Element:
    return ET.fromstring(Script(options.pop("law", MU), **options).xml())


@pytest.mark.parametrize("account", [None, Account("ann", "s3<cr&t")], ids=["open", "with-a-password"])
@pytest.mark.parametrize("codec", sorted(LAWS))
def test_every_jump_has_a_label_and_every_label_is_one_of_a_kind(codec: str, account: Account | None):
    tree = scenario(law=LAWS[codec], account=account)
    labels = [label.get("id") for label in tree.iter("label")]
    jumps = {value for part in tree for name, value in part.items() if name in ("next", "ontimeout")}
    assert len(labels) == len(set(labels))
    assert jumps <= set(labels)
    assert set(labels) - jumps <= {"talk"}
    invites = [part.text or "" for part in tree.iter("send") if "INVITE sip:" in (part.text or "")]
    assert len(invites) == (2 if account else 1)
    assert all(f"m=audio [field1] RTP/AVP {LAWS[codec].payload_type} 101" in text for text in invites)
    assert all(f"a=rtpmap:{LAWS[codec].payload_type} {codec}/8000" in text for text in invites)


def test_a_password_is_only_said_when_asked_for():
    tree = scenario(account=Account("ann", "secret"))
    first, second = [part.text or "" for part in tree.iter("send") if "INVITE sip:" in (part.text or "")]
    assert "secret" not in first
    assert "[authentication username=ann password=secret]" in second
    assert {part.get("response") for part in tree.iter("recv") if part.get("auth")} == {"401", "407"}


def test_every_refusal_is_logged_with_its_code_and_acknowledged():
    tree = scenario()
    parts = [part for part in tree.iter("recv") if (part.get("next") or "").startswith("refused")]
    refused = {part.get("response"): part for part in parts}
    assert {401, 407, 403, 404, 486, 503} | set(CODES) == set(map(int, refused))
    for code, part in refused.items():
        (log,) = part.iter("log")
        assert log.get("message") == f"refused [call_number] {code}"


def test_messages_end_as_sip_wants_it():
    for part in scenario().iter("send"):
        text = (part.text or "").strip("\n")
        assert re.search(r"Content-Length: (0|\[len\])\n", text + "\n")
        assert ("m=audio" in text) == ("Content-Length: [len]" in text)


@pytest.mark.parametrize(
    "given",
    [
        {"caller": "a\r\nX: y"}, {"headers": ("X-A: b\nX-C: d",)}, {"headers": ("no colon",)},
        {"headers": ("X-A: [field0]",)}, {"account": Account("a b", "c")}, {"account": Account("a", "]x")},
    ],
    ids=["caller", "two-headers", "no-colon", "sipp-keyword", "space", "bracket"],
)  # fmt: skip
def test_what_would_break_a_message_is_refused(given: dict):
    with pytest.raises(ValueError, match=r"header|password"):
        Script(MU, **given)
