// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls the kernels of a WebAssembly module as standard input says; tests/foreign.py has the format.
// node calls.mjs MODULE TARGET
import { readFileSync, writeSync } from "node:fs";

const MEMORY = 0x200000;
const [path, target] = process.argv.slice(2);
const { exports } = (await WebAssembly.instantiate(readFileSync(path))).instance;
const ops = ["lstm_step_w8a16", "gru_step_w8a16", "dense_w16a16"].map((op) => exports[`tl_${op}_${target}`]);
exports.memory.grow((MEMORY + 0x400000) / 0x10000);
const input = readFileSync(0);
for (let at = 0; at < input.length; ) {
  const [op, bytes, ...pointers] = Array.from({ length: 7 }, (_, i) => Number(input.readBigUInt64LE(at + 8 * i)));
  const memory = new Uint8Array(exports.memory.buffer, MEMORY, bytes);
  memory.set(input.subarray(at + 56, at + 56 + bytes));
  ops[op](...pointers);
  for (let sent = 0; sent < bytes; ) sent += writeSync(1, memory, sent);
  at += 56 + bytes;
}
