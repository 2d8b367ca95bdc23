// SPDX-License-Identifier: MIT OR Apache-2.0
// A Raspberry Pi Pico in rp2040js: node rp2040.cjs FOLDER_OF_RP2040JS FIRMWARE.UF2. Does what the boot ROM does with the
// flash: compares the checksum of the second stage, copies it to RAM and starts it. The UART is standard input and output.
"use strict";
const fs = require("node:fs");
const { RP2040 } = require(process.argv[2]);

const FLASH = 0x10000000, STAGE2 = 0x20041f00, FAMILY = 0xe48bff56;

function refuse(why) {
  console.error(why);
  process.exit(1);
}

function load(chip, uf2) {
  const view = new DataView(uf2.buffer, uf2.byteOffset, uf2.length);
  for (let at = 0; at < uf2.length; at += 512) {
    const word = (k) => view.getUint32(at + 4 * k, true);
    if (word(0) !== 0x0a324655 || word(1) !== 0x9e5d5157 || word(127) !== 0x0ab16f30) refuse(`no UF2 block at ${at}`);
    if ((word(2) & 0x2000) === 0 || word(7) !== FAMILY) continue; // as the chip: for others
    chip.flash.set(uf2.subarray(at + 32, at + 32 + word(4)), word(3) - FLASH);
  }
}

function checksum(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte << 24;
    for (let bit = 0; bit < 8; bit++) crc = (crc << 1) ^ (crc & 0x80000000 ? 0x04c11db7 : 0);
  }
  return crc >>> 0;
}

const chip = new RP2040();
chip.logger = { debug() {}, info() {}, warn() {}, error: (name, text) => console.error(`${name}: ${text}`) };
load(chip, fs.readFileSync(process.argv[3]));
const stage2 = chip.flash.slice(0, 256);
if (checksum(stage2.subarray(0, 252)) !== new DataView(stage2.buffer).getUint32(252, true)) {
  refuse("the second stage of the boot has another checksum: the chip would wait on USB");
}
for (let k = 0; k < 256; k++) chip.writeUint8(STAGE2 + k, stage2[k]);
chip.core.PC = STAGE2;

chip.uart[0].onByte = (byte) => fs.writeSync(1, Uint8Array.of(byte));
const received = [];
process.stdin.on("data", (bytes) => received.push(...bytes));
function run() {
  for (let k = 0; k < 100000; k++) chip.step();
  while (received.length > 0 && !chip.uart[0].rxFIFO.full) chip.uart[0].feedByte(received.shift());
  setImmediate(run);
}
run();
