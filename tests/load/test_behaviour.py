"""How callers are dealt: by their shares, the same for the same seed."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from voicebridge.load.behaviour import BARGE_S, EARLY_S, KINDS, PROFILES, deal, deck, shares
from voicebridge.phone import Line

VOICES = [Line(name, b"\0\0" * 160, 9.9) for name in "abc"]
GOODBYE = Line("bye", b"\0\0" * 160, 2.8)


def dealt(profile: str, count: int, seed: int = 1, turns: int = 2) -> list:
    return list(islice(deal(shares(profile), VOICES, seed=seed, turns=turns, goodbye=GOODBYE), count))


def test_twenty_callers_have_the_shares_of_the_profile():
    kinds = Counter(caller.kind for caller in dealt("mixed", 20))
    assert kinds == {"talk": 10, "keys": 2, "early": 2, "silent": 2, "barge": 4}
    assert Counter(caller.kind for caller in dealt("talk=1,early=3", 40)) == {"talk": 10, "early": 30}


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_kind_with_a_share_is_in_the_deck(profile: str):
    assert set(deck(shares(profile))) == set(PROFILES[profile])


def test_the_smallest_share_still_has_a_card():
    assert "keys" in deck({"talk": 1000, "keys": 1})


def test_the_same_seed_deals_the_same_callers():
    assert dealt("mixed", 30, seed=7) == dealt("mixed", 30, seed=7)
    assert dealt("mixed", 30, seed=7) != dealt("mixed", 30, seed=8)


def test_what_each_kind_does():
    callers = dealt("mixed", 60, turns=4)
    by = {kind: [caller for caller in callers if caller.kind == kind] for kind in KINDS}
    assert all(EARLY_S[0] <= caller.after_s <= EARLY_S[1] and not caller.lines for caller in by["early"])
    assert all(caller.after_s > EARLY_S[1] and not caller.lines for caller in by["silent"])
    assert all(caller.keys and len(caller.lines) == 5 for caller in by["keys"])
    assert all(line.barge_in_s is None for caller in by["talk"] for line in caller.lines)
    for caller in by["barge"]:
        first, *later, last = caller.lines
        assert first.barge_in_s is None
        assert last.label == "bye"
        assert all(BARGE_S[0] <= (line.barge_in_s or 0) <= BARGE_S[1] for line in later)


@pytest.mark.parametrize("text", ["nobody", "talk", "talk=x", "talk=1;early=2", "talk=0", "wait=3"])
def test_an_unknown_profile_is_refused_with_what_there_is(text: str):
    with pytest.raises(ValueError, match="profile"):
        shares(text)
