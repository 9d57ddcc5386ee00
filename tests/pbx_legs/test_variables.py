"""VB_* as the dialplan sets them: read with care, and what goes back is safe."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebridge.pbx.asterisk.variables import FACT_BYTES, end_variables, read_request
from voicebridge.pbx.attach import AttachRequest, CallEnd, Destination
from voicebridge.protocol.agi import MAX_COMMAND, set_variable
from voicebridge.protocol.variables import FORBIDDEN


async def read(**variables: str) -> AttachRequest:
    async def get(name: str) -> str:
        return variables.get(name, "")

    return await read_request(get)


async def test_facts_are_those_that_are_named():
    request = await read(
        VB_DATA_KEYS="order, customer order\tnone bad-key ${X}", VB_DATA_order="12",
        VB_DATA_customer="Ann\nSmith, of \x07Y", VB_DATA_other="not named",
    )
    assert request.facts == (("order", "12"), ("customer", "Ann Smith, of Y"))


async def test_facts_are_few_and_short():
    keys = [f"k{number}" for number in range(40)]
    request = await read(VB_DATA_KEYS=",".join(keys), **{f"VB_DATA_{key}": "\u00e9" * 999 for key in keys})
    assert len(request.facts) == 16
    assert all(len(value.encode()) <= FACT_BYTES for _, value in request.facts)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("VB_MAX_SECONDS", "0", "VB_MAX_SECONDS"), ("VB_MAX_SECONDS", "1e9", "VB_MAX_SECONDS"),
        ("VB_MAX_SECONDS", "nan", "VB_MAX_SECONDS"), ("VB_MAX_SECONDS", "ten", "VB_MAX_SECONDS"),
        ("VB_NO_INPUT", "-1", "VB_NO_INPUT"), ("VB_LANGUAGE", "../../etc", "VB_LANGUAGE"),
        ("VB_LANGUAGE", "English", "VB_LANGUAGE"), ("VB_CALL", "1767225600.1", "VB_CALL"),
    ],
)
async def test_a_bad_value_is_left_out_and_told_of(name: str, value: str, told: str, caplog: pytest.LogCaptureFixture):
    assert await read(**{name: value}) == AttachRequest()
    assert told in caplog.text
    assert value not in caplog.text or value in told or value in "0 1"


async def test_good_values_are_taken():
    request = await read(
        VB_MAX_SECONDS="90", VB_NO_INPUT="4.5", VB_LANGUAGE="pt-BR", VB_AGENT="desk", VB_FALLBACK="night"
    )
    assert (request.max_s, request.no_input_s, request.language) == (90.0, 4.5, "pt-BR")
    assert (request.agent, request.fallback) == ("desk", "night")


@given(st.text(max_size=3_000), st.text(max_size=3_000))
def test_whatever_was_said_can_be_sent_in_one_command_each(reason: str, summary: str):
    made = end_variables(uuid4(), CallEnd("TRANSFER", reason, Destination("a", "queue", "b"), summary))
    assert list(made)[-1] == "VB_RESULT"
    for name, value in made.items():
        assert len(set_variable(name, value)) < MAX_COMMAND
        assert not set(value) & FORBIDDEN
