"""Rates from samples: how fast a switch is, whether it is warm, how long it took to be fast."""

import statistics
import time

SETTLE = 0.1  # seconds after a stopped switch goes on, before it is measured
STEP = 0.1  # seconds between looks at a switch that warms up
FINE_STEP = 0.01  # the same while it starts
FINE_SECONDS = 1.0


def rate_between(a, b):
    """(packets a second that the thread had its core, share that was sent on)"""
    seconds = (b[0] - a[0] - (b[1] - a[1])) / 1e9
    received = b[2] - a[2]
    if seconds <= 0:
        return 0.0, None
    return received / seconds, (b[3] - a[3]) / received if received else None


def seconds_steady(rates):
    """For how long the rate has neither risen nor swung, by rates taken every STEP."""
    for count in range(len(rates), 9, -1):
        last = rates[-count:]
        third = count // 3
        if 0 < max(last) < 1.2 * min(last) and statistics.median(
                last[-third:]) < 1.01 * statistics.median(last[:third]):
            return count * STEP
    return 0


def watch_start(peer):
    """Samples close together while it starts."""
    samples = [peer.sample()]
    end = time.monotonic() + FINE_SECONDS
    while time.monotonic() < end:
        time.sleep(FINE_STEP)
        samples.append(peer.sample())
    return samples


def warm_up(peer, seconds, steady):
    """Samples; ends early when the rate has been steady for a while, and says whether it was."""
    samples, rates = [peer.sample()], []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(STEP)
        samples.append(peer.sample())
        rates.append(rate_between(samples[-2], samples[-1])[0])
        if seconds_steady(rates) >= steady:
            return samples, True
    return samples, False


def window(peer, seconds):
    """One measurement of a switch that is stopped before and after."""
    peer.resume()
    time.sleep(SETTLE)
    first = peer.sample()
    time.sleep(seconds)
    last = peer.sample()
    peer.stop()
    return rate_between(first, last)


def time_to_80(began, samples, final):
    """Milliseconds from the first packet until the rate is four fifths of the last. Samples are
    seldom further apart than that takes, so the answer is the beginning of the first such one."""
    for a, b in zip(samples, samples[1:]):
        if rate_between(a, b)[0] >= 0.8 * final:
            return max(0.0, (a[0] - began) / 1e6)
    return None
