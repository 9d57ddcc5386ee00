"""The digest against the examples of the RFCs, and challenges that cannot be answered."""

from __future__ import annotations

import re

import pytest

from voicebridge.protocol.digest import Challenge, DigestError


def response(header: str) -> str:
    found = re.search(r'response="([0-9a-f]+)"', header)
    assert found
    return found[1]


def test_the_example_of_rfc_2617():
    challenge = Challenge.parsed(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    made = challenge.answer("Mufasa", "Circle Of Life", method="GET", uri="/dir/index.html", cnonce="0a4f113b")
    assert response(made) == "6629fae49393a05397450978507c4ef1"
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in made
    assert "qop=auth, nc=00000001" in made


def test_the_example_of_rfc_7616_by_sha_256():
    challenge = Challenge.parsed(
        'Digest realm="http-auth@example.org",qop="auth, auth-int",algorithm=SHA-256,'
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    made = challenge.answer(
        "Mufasa", "Circle of Life", method="GET", uri="/dir/index.html",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )  # fmt: skip
    assert response(made) == "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"


def test_a_server_of_before_qop_is_answered_without_one():
    made = Challenge.parsed('Digest realm="a", nonce="n"').answer("u", "p", method="INVITE", uri="sip:1@a", cnonce="x")
    assert "qop" not in made and "cnonce" not in made
    assert len(response(made)) == 32


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("Basic realm=x", "Basic"),
        ("", "nothing"),
        ('Digest realm="a", nonce="n", algorithm=AKAv1-MD5', "AKAv1-MD5"),
        ('Digest realm="a", nonce="n", qop="auth-int"', "auth-int"),
        ('Digest realm="a"', "nonce"),
    ],
    ids=["basic", "empty", "algorithm", "qop", "nonce"],
)
def test_what_cannot_be_answered_is_told(header: str, why: str):
    with pytest.raises(DigestError, match=why):
        Challenge.parsed(header)
