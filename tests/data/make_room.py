"""Writes room.csv: a heated room, synthetic, fixed seed; semicolons, ISO dates, a row every 10 minutes, one gap."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np

ROWS, GAP = 1500, range(700, 712)


def rows() -> list[str]:
    """time;temperature;heater, a thermostat (21 degrees by day, 17 by night) and changing weather."""
    rng, begin = np.random.default_rng(7), datetime.datetime(2024, 1, 8)
    inside, outside, out = 19.0, 3.0, ["time;temperature;heater"]
    for k in range(ROWS):
        time = begin + datetime.timedelta(minutes=10 * k)
        hour = time.hour + time.minute / 60
        outside = 0.98 * outside + 0.02 * (3 + 5 * np.sin((hour - 9) / 12 * np.pi)) + 0.15 * rng.standard_normal()
        wanted = 21 if 6 <= hour < 22 else 17
        heater = float(np.clip(60 * (wanted - inside) + rng.normal(0, 4), 0, 100))
        inside += 0.012 * (outside - inside) + 0.0045 * heater + 0.03 * rng.standard_normal()
        if k not in GAP:
            out.append(f"{time:%Y-%m-%d %H:%M};{inside:.2f};{heater:.0f}")
    return out


if __name__ == "__main__":
    Path(__file__).with_name("room.csv").write_text("\n".join(rows()) + "\n")
