"""Debian's Chromium, headless, driven over its debugging protocol: for the dashboard's tests and pictures."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
START_S = 60.0
ANSWER_S = 60.0


class BrowserError(Exception):
    """It cannot be started, or a page's script failed; the text says which."""


def program() -> str:
    """Raises BrowserError with the cure."""
    for name in PROGRAMS:
        if found := shutil.which(name):
            return found
    raise BrowserError("no Chromium: sudo apt install chromium")


class Browser:
    """One page. Answers of the browser are matched by their numbers; what the page complains of is kept."""

    def __init__(self, link: ClientConnection) -> None:
        self._link = link
        self._next = 0
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self.complaints: list[str] = []
        """Errors of scripts, and what the content security policy has blocked."""
        self._reading = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for text in self._link:
            message = json.loads(text)
            if "id" in message:
                if (waiting := self._waiting.pop(message["id"], None)) is not None and not waiting.done():
                    waiting.set_result(message)
                continue
            self._event(message["method"], message["params"])

    def _event(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"])

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """One command. Raises BrowserError."""
        self._next += 1
        number = self._next
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._link.send(json.dumps({"id": number, "method": method, "params": params}))
        answer = await asyncio.wait_for(self._waiting[number], ANSWER_S)
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']['message']}")
        found: dict[str, Any] = answer["result"]
        return found

    async def open(self, url: str) -> None:
        """And wait until it is loaded."""
        self._loaded.clear()
        await self.ask("Page.navigate", url=url)
        await self.loaded()

    async def loaded(self) -> None:
        await asyncio.wait_for(self._loaded.wait(), ANSWER_S)
        self._loaded.clear()

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited where it is a promise. Raises BrowserError with the page's error."""
        found = await self.ask(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            details = found["exceptionDetails"]
            raise BrowserError(details.get("exception", {}).get("description", details["text"]))
        return found["result"].get("value")

    async def until(self, script: str, limit_s: float = 20.0) -> Any:
        """Asked again until it is truthy. Raises BrowserError."""
        for _ in range(round(limit_s / 0.1)):
            if found := await self.run(script):
                return found
            await asyncio.sleep(0.1)
        raise BrowserError(f"not true after {limit_s:g} s: {script}")

    async def look(self, *, dark: bool = False, width: int = 1200, height: int = 800) -> None:
        """The screen from now on; narrower than 600 is a telephone's."""
        await self.ask("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ])  # fmt: skip
        await self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    async def picture(self, path: Path, *, most: int = 3000, of: str = "") -> None:
        """PNG of the page, at most so many pixels high; `of`: of the elements of this selector only."""
        size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], most), "scale": 1}
        if of:
            clip |= await self.run(
                f"(() => {{ const boxes = [...document.querySelectorAll('{of}')].map(e => e.getBoundingClientRect()); "
                "const top = Math.min(...boxes.map(b => b.top)), bottom = Math.max(...boxes.map(b => b.bottom)); "
                "return {y: top + scrollY - 10, height: bottom - top + 20} })()"
            )
        found = await self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(found["data"]))  # noqa: ASYNC240 - nothing else runs

    async def press(self, key: str, code: str = "", text: str = "") -> None:
        """A key of the keyboard, e.g. "Tab", "Enter"."""
        for kind in ("keyDown", "keyUp"):
            await self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code or key, text=text if kind == "keyDown" else ""
            )

    async def close(self) -> None:
        with contextlib.suppress(Exception):
            await asyncio.wait_for(self._link.send(json.dumps({"id": 0, "method": "Browser.close"})), 2)
        self._reading.cancel()
        await self._link.close()


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """A fresh profile, thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="vb-chromium-", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(  # noqa: ASYNC220 - starts once
            [program(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-extensions", "--disable-background-networking", "--autoplay-policy=no-user-gesture-required",
             "--mute-audio", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            page = Browser(
                await connect(await _address(Path(profile), process), max_size=None, proxy=None, compression=None)
            )
            for domain in ("Page", "Runtime", "Log", "Network"):
                await page.ask(f"{domain}.enable")
            try:
                yield page
            finally:
                await page.close()
        finally:
            try:
                await asyncio.to_thread(process.wait, 5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def _address(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """Of the first page's debugging socket."""
    import httpx

    port = profile / "DevToolsActivePort"
    for _ in range(round(START_S / 0.1)):
        if process.poll() is not None:
            raise BrowserError(f"Chromium ended with {process.returncode} when it was started")
        if port.exists() and (lines := port.read_text().split()):
            with contextlib.suppress(httpx.HTTPError, ValueError):
                async with httpx.AsyncClient(trust_env=False) as client:
                    for target in (await client.get(f"http://127.0.0.1:{lines[0]}/json/list")).json():
                        if target["type"] == "page":
                            return str(target["webSocketDebuggerUrl"])
        await asyncio.sleep(0.1)
    raise BrowserError(f"Chromium did not come up in {START_S:g} s")
