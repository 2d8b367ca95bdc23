// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls functions of a WebAssembly module as standard input says, and writes back the memory of each call;
// tests/machines.py has the format. node calls.mjs MODULE FUNCTION...
import { readFileSync, writeSync } from "node:fs";

const MEMORY = 0x200000;
const [path, ...names] = process.argv.slice(2);
const { exports } = (await WebAssembly.instantiate(readFileSync(path))).instance;
exports.memory.grow((MEMORY + 0x800000) / 0x10000);
const input = readFileSync(0);
for (let at = 0; at < input.length; ) {
  const [name, bytes, ...pointers] = Array.from({ length: 7 }, (_, i) => Number(input.readBigUInt64LE(at + 8 * i)));
  const memory = new Uint8Array(exports.memory.buffer, MEMORY, bytes);
  memory.set(input.subarray(at + 56, at + 56 + bytes));
  exports[names[name]](...pointers);
  for (let sent = 0; sent < bytes; ) sent += writeSync(1, memory, sent);
  at += 56 + bytes;
}
