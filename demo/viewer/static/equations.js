/* Numbers for people, in text and in MathML. */

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const raised = (power) => `${power < 0 ? "⁻" : ""}${[...String(Math.abs(power))].map((digit) => SUPERSCRIPTS[digit]).join("")}`;

/* A number for people, with two digits that count. */
function number(value) {
  const size = Math.abs(value);
  const sign = value < 0 ? "−" : "";
  if (Number.isInteger(size)) return `${sign}${size}`;
  if (size >= 0.001) return `${sign}${size >= 99.5 ? Math.round(size) : size.toPrecision(2)}`;
  const [digits, power] = size.toExponential(1).split("e");
  return `${sign}${digits}·10${raised(Number(power))}`;
}

export const signed = (value) => (value > 0 ? "+" : "") + number(value);
export const many = (count) => count.toLocaleString("en");

export const mi = (name) => `<mi>${name}</mi>`;
export const mn = (value) => (value < 0 ? `<mo>−</mo>` : "") + `<mn>${number(Math.abs(value))}</mn>`;
export const mo = (sign) => `<mo>${sign}</mo>`;
export const mtext = (words) => `<mtext>${words}</mtext>`;
export const row = (...parts) => `<mrow>${parts.join("")}</mrow>`;
export const sub = (base, below) => `<msub>${base}${row(below)}</msub>`;
export const sup = (base, above) => `<msup>${base}${row(above)}</msup>`;
export const both = (base, below, above) => `<msubsup>${base}${row(below)}${row(above)}</msubsup>`;
export const gap = `<mspace width="0.4em"/>`;
export const over = (top, bottom) => `<mfrac>${row(top)}${row(bottom)}</mfrac>`;
export const sum = (index) => `<munder><mo>∑</mo>${row(index)}</munder>`;
export const equation = (...lines) => lines.map((line) => `<math display="block">${row(line)}</math>`).join("");

export const ALPHA = both(mi("α"), mi("k"), mi("c"));
export const MAP = sup(mi("A"), mi("k"));
export const RESULT = sup(mi("L"), mi("c"));
