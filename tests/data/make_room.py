"""room.csv: a heated room, two inputs; semicolons, ISO dates, 10 minutes; one gap, made by this script with a fixed seed."""

import datetime as d

import numpy as np

r = np.random.default_rng(7)
n = 1500
t0 = d.datetime(2024, 1, 8)
out = ["time;temperature;heater"]
temp = 19.0
outside = 3.0
heat = 0.0
for k in range(n):
    t = t0 + d.timedelta(minutes=10 * k)
    hour = t.hour + t.minute / 60
    outside = 0.98 * outside + 0.02 * (3 + 5 * np.sin((hour - 9) / 24 * 2 * np.pi)) + 0.15 * r.standard_normal()
    want = 21 if 6 <= hour < 22 else 17
    heat = float(np.clip(60 * (want - temp) + r.normal(0, 4), 0, 100))
    temp += 0.012 * (outside - temp) + 0.0045 * heat + 0.03 * r.standard_normal()
    if 700 <= k < 712:
        continue
    out.append(f"{t:%Y-%m-%d %H:%M};{temp:.2f};{heat:.0f}")
open("tests/data/room.csv", "w").write("\n".join(out) + "\n")
