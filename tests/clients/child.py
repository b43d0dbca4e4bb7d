#!/usr/bin/env python3
"""The fixture of the conformance suite, with three tools more: one that is slow, one that takes longer than anybody
waits, and one that tells how often the latter was given up. By these a client's cancellation can be followed to where
it matters, which no answer shows.

    child.py --era dual|legacy|modern
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "conformance"))

import fixture  # noqa: E402
import fixture_offers as offers  # noqa: E402

# Longer than any client here waits for anything.
LONG_S = 60

begun = given_up = 0


@offers.tool("Takes a minute, unless it is given up.")
async def test_wait_long(_call):
    global begun, given_up
    begun += 1
    try:
        await asyncio.sleep(LONG_S)
    except asyncio.CancelledError:
        given_up += 1
        raise
    return offers.said("Waited for a minute.")


@offers.tool("Says nothing for twelve seconds.")
async def test_slow(_call):
    # Longer than a gateway may wait before it opens a stream to keep the connection alive.
    await asyncio.sleep(12)
    return offers.said("There at last.")


@offers.tool("Tells how many long calls were begun and given up.")
async def test_count_given_up(_call):
    return offers.said(f"{begun} begun, {given_up} given up")


if __name__ == "__main__":
    fixture.main()
