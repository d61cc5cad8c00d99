"use strict";

const frame = JSON.parse(document.getElementById("data").textContent);
const GROUND = pixelOf(frame.ground);

/** Numbers of a type from base64; the file is little-endian, as is every machine with a browser. */
function decoded(text, Type) {
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return new Type(bytes.buffer);
}

/** A color as a pixel of a canvas. */
function rgba(red, green, blue) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

function pixelOf(hexadecimal) {
  const value = parseInt(hexadecimal.slice(1), 16);
  return rgba(value >> 16, (value >> 8) & 255, value & 255);
}

/** Colors that follow one another as bytes, as pixels. */
function pixelsOf(bytes) {
  return Uint32Array.from({ length: bytes.length / 3 }, (_, i) => rgba(bytes[3 * i], bytes[3 * i + 1], bytes[3 * i + 2]));
}

/** x, y, z in meters, one point after the other. */
function positions() {
  const numbers = decoded(frame.points, Uint16Array);
  return Float32Array.from(numbers, (number, i) => frame.origin[i % 3] + frame.step * number);
}

const RAMP = pixelsOf(decoded(frame.ramp, Uint8Array));

/** A way to color the points; colors that are hidden are 0. */
class Coloring {
  constructor(content) {
    Object.assign(this, content);
    if (this.kind === "rgb") {
      this.pixels = pixelsOf(decoded(content.of_points, Uint8Array));
      return;
    }
    this.places = decoded(content.places, this.kind === "categorical" ? Uint16Array : Uint8Array);
    this.table = this.kind === "categorical" ? Uint32Array.from(content.colors, pixelOf) : RAMP;
    this.hidden = new Set();
    this.refresh();
  }

  refresh() {
    const table = this.table.map((pixel, place) => (this.hidden.has(place) ? 0 : pixel));
    this.pixels = Uint32Array.from(this.places, (place) => table[place]);
  }

  hide(place, hidden) {
    if (hidden) this.hidden.add(place);
    else this.hidden.delete(place);
    this.refresh();
  }

  counts() {
    const counts = new Array(this.table.length).fill(0);
    for (const place of this.places) counts[place]++;
    return counts;
  }
}
