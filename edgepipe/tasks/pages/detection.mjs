// Boxes of classes: as edgepipe/tasks/detection/heads chooses them.
import {CANDIDATES, f, suppressed} from "./boxes.mjs";
import {HEADS} from "./heads.mjs";

// Rows [x1, y1, x2, y2, class, score] in pixels of the input, best first.
export function chosen(outputs, settings) {
  const given = {};
  for (const name of settings.outputs) {
    if (!(name in outputs)) throw new Error(`The model gives no output ${name}, which its boxes are read from.`);
    given[name] = outputs[name];
  }
  const found = HEADS[settings.head](given, settings), {boxes, scores, labels} = found;
  const first = settings.first ?? found.first ?? 0, classes = labels ? 1 : found.classes, rows = [];
  const number = (label) => settings.labels.length ? settings.labels.indexOf(label) : label - first;
  for (let i = 0; i < scores.length; i++) {
    if (!(scores[i] >= f(settings.score))) continue;
    const place = labels ? i : Math.floor(i / classes), of = number(labels ? labels[i] : i % classes);
    if (of >= 0) rows.push([...boxes.subarray(4 * place, 4 * place + 4), of, scores[i]]);
  }
  const best = rows.sort((a, b) => b[5] - a[5]).slice(0, CANDIDATES)
    .filter(([x1, y1, x2, y2]) => [x1, y1, x2, y2].every(Number.isFinite) && x2 > x1 && y2 > y1);
  return found.suppressed ? best.slice(0, settings.most) : suppressed(best, settings.iou, settings.most);
}

export function answered(outputs, settings, about) {
  const rows = chosen(outputs, settings), named = (i) => about.classes[i] ?? `class ${i}`;
  const counts = new Map();
  for (const row of rows) counts.set(row[4], (counts.get(row[4]) ?? 0) + 1);
  const title = [...counts].map(([of, count]) => `${count} × ${named(of)}`).slice(0, 3).join(", ");
  return {
    title: title ? title + (counts.size > 3 ? ", …" : "") : "no box",
    note: `boxes of a score of at least ${settings.score}`,
    boxes: rows.map(([x1, y1, x2, y2, of, score]) => ({box: [x1, y1, x2, y2], label: named(of), colour: of, score})),
  };
}
