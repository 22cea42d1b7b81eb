/* Arrays at another size. */


/* For each of `to` places the first of `from` places that it is made of, how many, and their weights: a triangle
   around its middle, which is bilinear interpolation, or where it shrinks a weighted mean, as Pillow's BILINEAR. */
function taps(from, to) {
  const scale = from / to;
  const reach = Math.max(scale, 1);
  return Array.from({ length: to }, (_, place) => {
    const middle = (place + 0.5) * scale;
    const first = Math.max(Math.floor(middle - reach + 0.5), 0);
    const last = Math.min(Math.floor(middle + reach + 0.5), from);
    const weights = [];
    for (let at = first; at < last; at++) {
      weights.push(Math.max(1 - Math.abs((at + 0.5 - middle) / reach), 0));
    }
    const sum = weights.reduce((a, b) => a + b);
    return { first, weights: weights.map((weight) => weight / sum) };
  });
}

/* An array of rows x columns x depth values at another size. */
export function stretch(values, columns, rows, depth, width, height) {
  const line = width * depth;
  const across = taps(columns, width);
  const wide = new Float32Array(rows * line);
  for (let row = 0, to = 0; row < rows; row++) {
    for (let x = 0; x < width; x++, to += depth) {
      const { first, weights } = across[x];
      for (let k = 0, from = (row * columns + first) * depth; k < weights.length; k++, from += depth) {
        for (let d = 0; d < depth; d++) wide[to + d] += weights[k] * values[from + d];
      }
    }
  }
  const result = new Float32Array(height * line);
  taps(rows, height).forEach(({ first, weights }, y) => {
    const drawn = result.subarray(y * line, (y + 1) * line);
    weights.forEach((weight, k) => {
      const source = wide.subarray((first + k) * line, (first + k + 1) * line);
      for (let at = 0; at < line; at++) drawn[at] += weight * source[at];
    });
  });
  return result;
}
