"""The pages in Debian's Chromium: nothing that axe finds, light, dark and on a telephone; player, live calls, keys."""

from __future__ import annotations

import json
import os

import pytest
import pytest_asyncio

from bench.chromium import browser
from bench.pretence_live import pretended_daemon
from bench.screenshots import dashboard, log_in, two_live_calls
from tests.web import install
from voicebridge.web.access import PASSWORD_VARIABLE

pytestmark = pytest.mark.asyncio(loop_scope="module")

LOOKS = {"light": (False, 1200), "dark": (True, 1200), "phone": (False, 360), "phone-dark": (True, 360)}


LOOKED_AT = {"dark": ("overview", "calls/", "live"), "phone": ("calls/",), "phone-dark": ("calls/",)}
"""By axe, which costs half a second a page; in light everything is."""


@pytest.fixture(scope="module")
def axe():
    try:
        install.chromium()
        return install.axe()
    except install.Unavailable as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"NO BROWSER TESTS: {error}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page(axe, kept):
    """(browser that is logged in, dashboard, daemon with two calls): one for all, each costs a second to start."""
    folder, record = kept
    said: list[str] = []
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv(PASSWORD_VARIABLE, raising=False)
        async with (
            pretended_daemon(folder / "control.sock") as house,
            dashboard(folder, said) as made,
            browser() as shown,
        ):
            two_live_calls(house, record)
            await shown.look()
            await log_in(shown, said)
            yield shown, made, house


async def violations(shown, axe: str) -> list[str]:
    await shown.run(f"window.axe ? 0 : (function(){{{axe}}})()")
    text = await shown.run(
        "axe.run({resultTypes: ['violations']}).then(r => JSON.stringify(r.violations.map("
        "v => v.id + ': ' + v.nodes.map(n => n.target.join(' ')).join('; ') + ' ' + v.nodes[0].failureSummary)))"
    )
    found: list[str] = json.loads(text)
    return found


async def test_no_page_hinders_anybody_nor_is_wider_than_its_screen(page, axe, kept):
    shown, made, _ = page
    call = f"calls/{kept[1]['call_id']}"
    paths = ("overview?span=30d", "calls", call, "live", "calls?text=nosuchword", "calls/unknown", "login")
    problems = {}
    for look, (dark, width) in LOOKS.items():
        await shown.look(dark=dark, width=width)
        for path in paths:
            wanted = path.startswith(LOOKED_AT.get(look, ("",))) and (look == "light" or path != "calls/unknown")
            if look == "phone-dark" and not wanted:
                continue
            await shown.open(made.url + path)
            if path == "live":
                await shown.until("document.querySelectorAll('#calls article').length === 2")
            if path == call:
                await shown.run("document.querySelectorAll('details').forEach(d => { d.open = true })")
            if wanted and (found := await violations(shown, axe)):
                problems[f"{path} {look}"] = found
            if (wide := await shown.run("document.documentElement.scrollWidth")) > width:
                problems[f"{path} {look} width"] = wide
    assert problems == {}
    assert [text for text in shown.complaints if "404" not in text] == []  # nothing blocked, no script failed


async def test_axe_would_find_something(page, axe):
    shown, made, _ = page
    await shown.open(made.url + "calls")
    await shown.run("document.querySelector('main').append(document.createElement('img'))")
    assert any(text.startswith("image-alt") for text in await violations(shown, axe))


async def test_the_player_moves_with_the_pictures(page, kept):
    shown, made, _ = page
    await shown.look()
    turns = kept[1]["turns"]
    await shown.open(f"{made.url}calls/{kept[1]['call_id']}")
    await shown.until("document.getElementById('audio').readyState >= 1")
    await shown.run("document.querySelector('#turn-3 .seek').click()")
    await shown.until("!document.getElementById('audio').paused")
    assert await shown.run("document.getElementById('play').getAttribute('aria-label')") == "Pause"
    begin = float(await shown.run("document.getElementById('turn-3').dataset.begin"))
    assert begin - 0.1 <= await shown.until("document.getElementById('audio').currentTime") < begin + 15
    await shown.run("document.getElementById('play').click()")
    middle = (turns[3]["spans"][0]["from"] + turns[3]["spans"][-1]["to"]) / 2
    await shown.run(
        f"document.getElementById('seek').value = {middle}; "
        "document.getElementById('seek').dispatchEvent(new Event('input'))"
    )
    await shown.until("document.getElementById('turn-3').classList.contains('now')")
    x = await shown.run("parseFloat(document.querySelector('#turn-3 .playhead').getAttribute('x1'))")
    assert 74 / 2 < x < 74 / 2 + 4  # half of the wait, behind what is shown of the time before it
    assert await shown.run("parseFloat(document.querySelector('#turn-2 .playhead').getAttribute('x1'))") < 0
    # A click into a picture goes there.
    await shown.run(
        "(() => { const p = document.querySelector('#turn-4 .waterfall'), b = p.getBoundingClientRect();"
        "p.dispatchEvent(new MouseEvent('click', {clientX: b.left + b.width * 0.74, clientY: b.top + 9})) })()"
    )
    audible = turns[4]["spans"][-1]["to"]
    assert await shown.run("document.getElementById('audio').currentTime") == pytest.approx(audible, abs=0.1)


async def test_everything_is_reached_by_keys(page, kept):
    shown, made, _ = page
    await shown.open(f"{made.url}calls/{kept[1]['call_id']}")
    reached = []
    for _ in range(16):
        await shown.press("Tab")
        reached.append(await shown.run("document.activeElement.id || document.activeElement.textContent.trim()"))
    assert reached[0] == "Skip to the content"
    for wanted in ("Calls", "Log out", "Download as JSON", "Erase …", "play", "seek", "speed"):
        assert wanted in reached
    await shown.run("document.getElementById('seek').focus()")
    before = await shown.run("document.getElementById('audio').currentTime")
    await shown.press("ArrowRight")
    await shown.until(f"document.getElementById('audio').currentTime > {before}")


async def test_live_calls_come_speak_and_go(page, kept):
    shown, made, house = page
    await shown.open(made.url + "live")
    await shown.until("document.getElementById('state').textContent === '2 calls now'")
    house.begin("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a03", caller="***33")
    await shown.until("document.getElementById('state').textContent === '3 calls now'")
    said = {"kind": "answer", "text": "<b>Yes, we do.</b>", "heard": "<b>Yes,", "complete": False, "at": 2.0}
    turn = {"turn": 1, "caller": "Are you <i>open</i>?", "said": [said], "cut_off": True, "gap_s": 0.9, "tools": []}
    house.turn("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a03", turn)
    last = "document.querySelector('#calls article:last-child')"
    await shown.until(f"{last}.textContent.includes('Are you <i>open</i>?')")
    assert await shown.run(f"{last}.querySelector('.unheard').textContent") == "not heard: we do.</b>"
    assert await shown.run(f"{last}.querySelectorAll('b, i').length") == 0
    house.state("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a03", "speaking", "idle")
    await shown.until(f"{last}.textContent.includes('caller speaks')")
    house.end("7d0c33fc-2f6f-4c65-9a35-2b7f5e1f0a03", {"outcome": "transfer", "target": "workshop"})
    await shown.until(f"{last}.textContent.includes('to workshop')")
    assert await shown.run("document.getElementById('state').textContent") == "2 calls now"


async def test_a_daemon_that_is_gone_is_told_kindly_and_found_again(page, monkeypatch, tmp_path):
    monkeypatch.delenv(PASSWORD_VARIABLE, raising=False)
    shown, *_ = page
    said: list[str] = []
    async with dashboard(tmp_path, said) as made:
        await log_in(shown, said)
        await shown.open(made.url + "live")
        await shown.until("document.getElementById('down').textContent.startsWith('No daemon runs')")
        assert await shown.run("document.getElementById('state').textContent") == "no daemon"
        async with pretended_daemon(tmp_path / "control.sock"):
            await shown.until("document.getElementById('state').textContent === '0 calls now'")
            assert await shown.run("!document.getElementById('none').hidden && document.getElementById('down').hidden")
        await shown.until("document.getElementById('state').textContent === 'no daemon'")
