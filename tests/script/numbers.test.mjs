/* What the page's script computes. */

import "./browser.mjs";
import assert from "node:assert/strict";
import { test } from "node:test";

const script = "../../demo/viewer/static";
const { bytesOf, decoded, decodedRow, product } = await import(`${script}/codec.js`);
const { greyed, overlaid, valueAt } = await import(`${script}/colours.js`);
const { settings } = await import(`${script}/settings.js`);
const { stretch } = await import(`${script}/resampling.js`);
const { equation, mn } = await import(`${script}/equations.js`);

const encoded = (values) => btoa(String.fromCharCode(...new Uint8Array(Float32Array.from(values).buffer)));
const mapOf = (values, rows, columns, more = {}) => ({
  kind: "map", rows, columns, depth: 1, limit: Math.max(...values), shared: Math.max(...values), values: Float32Array.from(values), ...more,
});
const near = (found, expected) => {
  assert.equal(found.length, expected.length);
  found.forEach((value, at) => assert.ok(Math.abs(value - expected[at]) < 1e-6, `${found} is not ${expected}`));
};

test("two values become four by bilinear interpolation between the middles", () => {
  near([...stretch(Float32Array.of(0, 1), 2, 1, 1, 4, 1)], [0, 0.25, 0.75, 1]);
  near([...stretch(Float32Array.of(0, 1), 1, 2, 1, 1, 4)], [0, 0.25, 0.75, 1]);
});

test("four values become two by weighted means", () => {
  near([...stretch(Float32Array.of(0, 0, 8, 8), 4, 1, 1, 2, 1)], [8 / 7, 48 / 7]);
});

test("channels are stretched apart, and what is the same everywhere stays", () => {
  const two = stretch(Float32Array.of(1, -5, 1, -5, 1, -5, 1, -5), 2, 2, 2, 3, 5);
  near([...two], Array.from({ length: 15 }, () => [1, -5]).flat());
});

test("base64 is read to bytes, and bytes to the numbers of a map", async () => {
  assert.deepEqual([...bytesOf("AP8Q")], [0, 255, 16]);
  const map = await decoded({ kind: "map", shape: [1, 3], data: encoded([0, 1.5, -2]) });
  assert.deepEqual([...map.values], [0, 1.5, -2]);
  assert.deepEqual([map.rows, map.columns, map.depth], [1, 3, 1]);
});

test("a row keeps the order of its pictures", async () => {
  const picture = (value) => ({ kind: "map", shape: [1, 1], data: encoded([value]) });
  assert.deepEqual(Object.keys(await decodedRow({ b: picture(1), a: picture(2) })), ["b", "a"]);
});

test("a product is the gradient times the map at its size", () => {
  const gradient = { rows: 1, columns: 2, depth: 3, values: Float32Array.of(1, 2, 3, -1, -2, -3) };
  near([...product({}, gradient, mapOf([2, 4], 1, 2)).values], [2, 4, 6, -4, -8, -12]);
});

test("a map covers the photograph by its share of the strongest value", () => {
  const white = { width: 2, height: 1, data: Uint8ClampedArray.of(255, 255, 255, 255, 255, 255, 255, 255) };
  Object.assign(settings, { colours: "grey", opacity: 0.5, uniform: false, own: null });
  // 0 covers nothing; the highest covers half of the white with the last colour, which is white too.
  assert.deepEqual([...overlaid(mapOf([0, 2], 1, 2), white).data], [255, 255, 255, 255, 255, 255, 255, 255]);
  // One half has the colour 128 and covers a quarter: 255 + (128 - 255) / 4 = 223.25.
  assert.equal(overlaid(mapOf([1, 2], 1, 2), white).data[0], 223);
  // Uniform, it covers half: 255 + (128 - 255) / 2 = 191.5; and 0 has the first colour, 127.5.
  assert.equal(overlaid(mapOf([1, 2], 1, 2), white, { opacity: 0.5, uniform: true }).data[0], 191);
  assert.equal(overlaid(mapOf([0, 2], 1, 2), white, { opacity: 0.5, uniform: true }).data[0], 127);
});

test("a map without evidence leaves the photograph as it is", () => {
  const photo = { width: 1, height: 1, data: Uint8ClampedArray.of(10, 20, 30, 255) };
  assert.deepEqual([...overlaid(mapOf([0], 1, 1), photo).data], [10, 20, 30, 255]);
});

test("rows share a scale unless each has its own", () => {
  const white = { width: 1, height: 1, data: Uint8ClampedArray.of(255, 255, 255, 255) };
  const weak = () => mapOf([1], 1, 1, { shared: 2 });
  Object.assign(settings, { own: null });
  assert.equal(overlaid(weak(), white, { opacity: 1, uniform: true }).data[0], 128);
  Object.assign(settings, { own: true });
  assert.equal(overlaid(weak(), white, { opacity: 1, uniform: true }).data[0], 255);
  Object.assign(settings, { own: null });
});

test("a gradient of zero is mid-grey, and what is beyond the limit is cut off", () => {
  const gradient = { rows: 1, columns: 1, depth: 3, limit: 1, shared: 1, values: Float32Array.of(0, 5, -5) };
  assert.deepEqual([...greyed(gradient, { width: 1, height: 1 }).data], [128, 255, 0, 255]);
});

test("the value at a point lies between those of the cells around it", () => {
  const map = mapOf([0, 1, 2, 3], 2, 2);
  assert.equal(valueAt(map, { x: 0.5, y: 0.5 }), 1.5);
  assert.equal(valueAt(map, { x: 0, y: 0 }), 0);
  assert.equal(valueAt(map, { x: 1, y: 0.25 }), 1);
});

test("numbers are written with two digits that count", () => {
  assert.equal(equation(mn(0.012345)), '<math display="block"><mrow><mn>0.012</mn></mrow></math>');
  assert.match(mn(-12.6), /^<mo>−<\/mo><mn>13<\/mn>$/);
  assert.match(mn(0.00034), /3\.4·10⁻⁴/);
  assert.match(mn(250.4), /250/);
});
