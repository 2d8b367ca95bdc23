// SPDX-License-Identifier: MIT OR Apache-2.0
// The timing loop of perf_wasm.py: nanoseconds a call, the best of many short runs, of each case of standard input.
// node perf_wasm.mjs MODULE
import { readFileSync } from "node:fs";

const { exports } = (await WebAssembly.instantiate(readFileSync(process.argv[2]))).instance;
exports.memory.grow(64);
const cases = JSON.parse(readFileSync(0)).map((c) => ({ ...c, best: Infinity }));
for (let round = 0; round < 60; round++) {
  for (const c of cases) {
    new Uint8Array(exports.memory.buffer).set(Buffer.from(c.memory, "base64"), c.base);
    const from = process.hrtime.bigint();
    for (let i = 0; i < c.steps; i++) exports[c.name](...c.pointers);
    c.best = Math.min(c.best, Number(process.hrtime.bigint() - from) / c.steps);
  }
}
console.log(JSON.stringify(cases.map((c) => c.best)));
