"""An answer's text, token by token."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voicebridge.engines.llama_cpp.wording import Wording


def spelled(data: bytes, sizes: list[int], stops: tuple[str, ...] = ()) -> list[str]:
    wording, said, at = Wording(stops), [], 0
    for size in [*sizes, len(data)]:
        said.append(wording.add(data[at : at + size]))
        at += size
    return [*said, wording.finish()]


@given(st.text(), st.lists(st.integers(1, 5), max_size=40))
def test_no_character_is_cut_however_the_tokens_fall(text: str, sizes: list[int]) -> None:
    said = spelled(text.encode(errors="replace"), sizes)
    assert "".join(said) == text.encode(errors="replace").decode()
    assert not any("�" in piece for piece in said) or "�" in text


def test_half_a_character_at_the_end_is_told_as_such() -> None:
    wording = Wording()
    assert wording.add("é".encode()[:1]) == ""
    assert wording.finish() == "�"


@given(st.lists(st.integers(1, 4), max_size=30))
def test_nothing_of_a_stop_word_nor_behind_it_is_said(sizes: list[int]) -> None:
    said = spelled(b"Yes, of course. END of it", sizes, ("END", "never"))
    assert "".join(said) == "Yes, of course. "


def test_what_only_looked_like_a_stop_word_is_said_after_all() -> None:
    wording = Wording(("###",))
    assert wording.add(b"a ##") == "a "
    assert wording.add(b" b") == "## b"
    assert wording.add(b" #") == " "
    assert not wording.stopped
    assert wording.finish() == "#"


def test_the_first_stop_word_counts() -> None:
    wording = Wording(("later", "now"))
    assert wording.add(b"say now or later") == "say "
    assert wording.stopped
    assert wording.add(b"more") == wording.finish() == ""
