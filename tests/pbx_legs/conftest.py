"""Every test of a leg runs on asyncio's own loop and on uvloop, which the daemon uses."""

from __future__ import annotations

import asyncio
import warnings

import pytest
import uvloop

from tests.pbx_legs.peers import Bench


@pytest.fixture(params=["asyncio", "uvloop"])
def event_loop_policy(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return uvloop.EventLoopPolicy() if request.param == "uvloop" else asyncio.DefaultEventLoopPolicy()


@pytest.fixture
async def bench():
    """A server with a clock; what it leaves behind when it has stopped is a failure."""
    made = Bench()
    before = made.resources()
    yield made
    await made.stop()
    await made.until(lambda: made.resources() == before, "tasks or sockets were left behind")
