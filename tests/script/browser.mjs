/* What the modules need of a browser when they are loaded, for tests without one. */

globalThis.COLOUR_NAMES = { grey: "grey" };
// Grey from 0 to 255, as 256 colours of three bytes.
const greys = Uint8Array.from({ length: 768 }, (_, at) => Math.floor(at / 3));
globalThis.COLOUR_TABLES = { grey: btoa(String.fromCharCode(...greys)), signed: btoa(String.fromCharCode(...greys)) };
globalThis.IntersectionObserver = class {
  observe() {}
};
globalThis.ImageData = function ImageData(width, height) {
  Object.assign(this, { width, height, data: new Uint8ClampedArray(4 * width * height) });
};
