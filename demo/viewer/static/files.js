/* Pictures as files. */

import { fileName, make, save } from "./dom.js";

const blobOf = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

export async function savePanel({ canvas, row, method }) {
  save(await blobOf(canvas), fileName(`${row.title}_${method}.png`));
}

export async function saveRow(scene, row, number) {
  const those = scene.panels.filter((panel) => panel.row === row);
  const canvas = rowPicture(those, row, scene.scales[number][0].textContent, scene.shown.methods, scene.shown.photo);
  save(await blobOf(canvas), fileName(`${row.title}.png`));
}

/* The panels of a row beside each other, with their names above and the sentence below, as for a slide. */
function rowPicture(those, row, scale, methods, photo) {
  const [gap, line, least] = [16, 34, 320];
  const factor = Math.max(least / photo.width, 1);
  const [wide, high] = [photo.width * factor, photo.height * factor];
  const width = those.length * (wide + gap) + gap;
  const canvas = make("canvas");
  const pencil = canvas.getContext("2d");
  const font = (weight) => `${weight} 24px system-ui, sans-serif`;
  const small = "20px system-ui, sans-serif";
  pencil.font = font("");
  const lines = wrapped(pencil, make("p", { html: row.sentence }).textContent, width - 2 * gap);
  pencil.font = small;
  const numbers = wrapped(pencil, `${make("p", { html: row.numbers }).textContent} ${scale}`, width - 2 * gap);
  canvas.width = width;
  canvas.height = high + (lines.length + numbers.length + 1) * line + 3 * gap;
  pencil.fillStyle = "#fff";
  pencil.fillRect(0, 0, canvas.width, canvas.height);
  pencil.fillStyle = "#000";
  pencil.textBaseline = "top";
  those.forEach(({ canvas: picture, method }, place) => {
    const left = gap + place * (wide + gap);
    pencil.font = font("bold");
    pencil.fillText(methods[method].title, left, gap);
    pencil.drawImage(picture, left, gap + line, wide, high);
  });
  const write = (words, place) => pencil.fillText(words, gap, high + line * (place + 1) + 2 * gap);
  pencil.font = font("");
  lines.forEach(write);
  pencil.font = small;
  pencil.fillStyle = "#555";
  numbers.forEach((words, place) => write(words, lines.length + place));
  return canvas;
}

function wrapped(pencil, text, width) {
  const lines = [""];
  for (const word of text.split(/\s+/)) {
    const longer = `${lines.at(-1)} ${word}`.trim();
    if (lines.at(-1) && pencil.measureText(longer).width > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}
