// SPDX-License-Identifier: MIT OR Apache-2.0
// Calls functions of a WebAssembly module as standard input says: tests/machines.py, _program, has the format.
// node calls.mjs MODULE FUNCTION...
import { readFileSync, writeSync } from "node:fs";

const MEMORY = 0x200000;
const [path, ...names] = process.argv.slice(2);
const { exports } = (await WebAssembly.instantiate(readFileSync(path))).instance;
exports.memory.grow((MEMORY + 0x800000) / 0x10000);
const input = readFileSync(0);
const bytes = Number(input.readBigUInt64LE(0));
const memory = new Uint8Array(exports.memory.buffer, MEMORY, bytes);
memory.set(input.subarray(8, 8 + bytes));
for (let at = 8 + bytes; at < input.length; at += 48) {
  const [name, ...pointers] = Array.from({ length: 6 }, (_, i) => Number(input.readBigUInt64LE(at + 8 * i)));
  exports[names[name]](...pointers);
}
for (let sent = 0; sent < bytes; ) sent += writeSync(1, memory, sent);
