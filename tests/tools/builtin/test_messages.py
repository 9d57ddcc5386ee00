"""take_message: on disk for its owner alone, at the webhook too, and told truthfully."""

from __future__ import annotations

import dataclasses
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from voicebridge.tools.builtin.messages import MessageSettings, take_message

MESSAGE = '{"message":"Call me back,\\nplease.","name":"Anna","phone":"5550142"}'
NOW = datetime(2026, 12, 1, 9, 30, tzinfo=UTC)


async def taken(bench: Any, **settings: Any) -> Any:
    return await bench.run(take_message, MESSAGE, settings={"take_message": settings}, now=lambda: NOW)


def files(folder: Path) -> list[Path]:
    return sorted((folder / "messages").iterdir()) if (folder / "messages").is_dir() else []


async def test_a_message_is_kept_for_its_owner_alone(bench):
    outcome = await taken(bench)
    assert outcome.say == "I have noted your message and will pass it on."
    (file,) = files(bench.folder)
    assert file.name == f"20261201093000-{bench.call.call_id}-1.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text()) == {
        "id": f"{bench.call.call_id}-1", "at": "2026-12-01T09:30:00+00:00", "call": bench.call.call_id, "agent": "desk",
        "language": "en", "caller": "+49 89 1234567", "dialled": "100", "name": "Anna", "phone": "5550142",
        "message": "Call me back,\nplease.",
    }  # fmt: skip


async def test_a_call_s_name_cannot_lead_out_of_the_folder(bench):
    runner = bench.runner(take_message)
    call = dataclasses.replace(bench.call, call_id="../../etc/passwd\0")
    assert (await runner.run(call, 1, "take_message", MESSAGE)).ok
    assert [file.parent for file in files(bench.folder)] == [bench.folder / "messages"]


async def test_the_webhook_gets_the_same(bench, service, monkeypatch):
    monkeypatch.setenv("VB_TEST_TOKEN", "s3cret")
    outcome = await taken(bench, webhook=f"{service.url}/hook", headers={"Authorization": "Bearer {env:VB_TEST_TOKEN}"})
    assert outcome.ok
    (seen,) = service.seen
    assert seen.body == json.loads(files(bench.folder)[0].read_text())
    assert seen.headers["authorization"] == "Bearer s3cret"
    assert seen.headers["idempotency-key"] == f"{bench.call.call_id}-1"


async def test_one_of_disk_and_webhook_is_enough_and_none_is_told(bench, service):
    service.answers = [(500, {}, b"")]
    assert (await taken(bench, webhook=service.url)).ok
    bench.folder = bench.folder / "file"
    bench.folder.write_text("in the way")
    failed = await taken(bench, webhook=service.url)
    assert (failed.ok, failed.cause) == (False, "error")
    service.answers = [(200, {}, b"")]
    assert (await taken(bench, webhook=service.url)).ok


async def test_a_webhook_whose_secret_is_missing_does_not_lose_the_message(bench, service):
    assert (await taken(bench, webhook=service.url, headers={"A": "{env:VB_NOT_SET}"})).ok
    assert len(files(bench.folder)) == 1
    assert service.seen == []


async def test_words_are_the_administrator_s_or_english_or_none(bench):
    assert (await taken(bench, say="Danke.")).say == "Danke."
    runner = bench.runner(take_message)
    call = dataclasses.replace(bench.call, language="de-DE")
    assert (await runner.run(call, 1, "take_message", MESSAGE)).say == ""


async def test_a_message_without_a_message_is_none(bench):
    assert (await bench.run(take_message, '{"message":""}')).cause == "invalid_arguments"
    assert (await bench.run(take_message, json.dumps({"message": "x" * 5000}))).cause == "invalid_arguments"
    assert files(bench.folder) == []


@pytest.mark.parametrize("settings", [{"webhook": "ftp://x"}, {"webhok": "https://x"}], ids=["scheme", "typo"])
def test_settings_are_checked(settings):
    with pytest.raises(ValidationError):
        MessageSettings.model_validate(settings)
