// What the heads of detectors share, as edgepipe/tasks/detection/heads/boxes.py has it, in float32 like there.
// An array is {data, dims} of one example; a list of boxes is a Float32Array of four numbers each.
export const f = Math.fround;
const STRIDES = [[8, 16, 32], [8, 16, 32, 64], [16, 32]];
export const CANDIDATES = 1000;
const FLOATS = ["float32", "float16", "float64"];

export const isFloat = (one) => FLOATS.includes(one.type);
export const cellsOf = (size, stride) => Math.ceil(size[0] / stride) * Math.ceil(size[1] / stride);

// The strides whose maps have `count` places together, `each` of them in a cell; []: none have.
export function cells(about, count, each = 1) {
  const known = about.strides.length ? [about.strides] : STRIDES;
  return known.find((strides) => each * strides.reduce((sum, stride) => sum + cellsOf(about.size, stride), 0) === count) ?? [];
}

// [x, y in cells, stride] of each place, map after map; with several to a cell those of one anchor lie together.
export function grid(about, strides, each = 1) {
  const found = [];
  for (const stride of strides) {
    const rows = Math.ceil(about.size[0] / stride), columns = Math.ceil(about.size[1] / stride);
    for (let k = 0; k < each; k++) for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) found.push([x, y, stride]);
  }
  return found;
}

// The input's sides, as they multiply x, y, x, y.
export const sides = (about) => [about.size[1], about.size[0], about.size[1], about.size[0]];

// Middles and sizes as pixels, where a network may give shares of the sides: whichever lies nearer to the cells.
export function inPixels(boxes, places, about) {
  const whole = sides(about), far = [0, 0];
  places.forEach(([x, y, stride], i) => [(x + 0.5) * stride, (y + 0.5) * stride].forEach((middle, axis) => {
    far[0] += Math.abs(boxes[4 * i + axis] - middle);
    far[1] += Math.abs(boxes[4 * i + axis] * whole[axis] - middle);
  }));
  return far[0] <= far[1] ? boxes : boxes.map((value, i) => value * whole[i % 4]);
}

// How far the middles lie from their cells on the whole.
export function distance(boxes, places) {
  return places.reduce((sum, [x, y, stride], i) =>
    sum + Math.abs(boxes[4 * i] - (x + 0.5) * stride) + Math.abs(boxes[4 * i + 1] - (y + 0.5) * stride), 0);
}

export function cornersOf(boxes) {
  const out = new Float32Array(boxes.length);
  for (let i = 0; i < boxes.length; i += 4) for (let axis = 0; axis < 2; axis++) {
    const half = f(boxes[i + 2 + axis] / 2);
    out[i + axis] = boxes[i + axis] - half;
    out[i + 2 + axis] = boxes[i + axis] + half;
  }
  return out;
}

const sigmoid = (x) => 0.5 * (1 + Math.tanh(0.5 * x));

// Along rows of `width`.
export function softmax(values, width) {
  const out = new Float32Array(values.length);
  for (let i = 0; i < values.length; i += width) {
    let most = -Infinity, sum = 0;
    for (let k = i; k < i + width; k++) most = Math.max(most, values[k]);
    for (let k = i; k < i + width; k++) sum += out[k] = Math.exp(values[k] - most);
    for (let k = i; k < i + width; k++) out[k] /= sum;
  }
  return out;
}

// Scores of one class each; auto: as they are where all lie in [0, 1], or a step of an int8 sigmoid beyond.
export function probabilities(scores, width, how) {
  if (how === "softmax") return softmax(scores, width);
  const within = scores.every((value) => value >= f(-0.02) && value <= f(1.02));
  return how === "logits" || (how === "auto" && scores.length && !within) ? scores.map(sigmoid) : scores;
}

// Columns `from` to `to` of rows of `width`.
export function columns(values, width, from, to) {
  const out = new Float32Array(values.length / width * (to - from));
  for (let i = 0, j = 0; i < values.length; i += width) for (let k = from; k < to; k++) out[j++] = values[i + k];
  return out;
}

// (rows, width) of (width, rows).
export function turned(values, rows) {
  const width = values.length / rows, out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) for (let c = 0; c < width; c++) out[r * width + c] = values[c * rows + r];
  return out;
}

export function joined(parts) {
  const out = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  parts.reduce((at, part) => { out.set(part, at); return at + part.length; }, 0);
  return out;
}

// Of two boxes of one class that overlap by more than `iou` the better one; rows [x1, y1, x2, y2, class, score], best first.
export function suppressed(rows, iou, most) {
  const kept = [];
  let low = Infinity, high = -Infinity;
  for (const row of rows) for (let k = 0; k < 4; k++) { low = Math.min(low, row[k]); high = Math.max(high, row[k]); }
  // Classes are moved apart, so that boxes of two never overlap.
  let left = rows.map((row) => ({
    row, moved: row.slice(0, 4).map((value) => f(value + f(row[4] * (high - low + 1)))),
    area: f(Math.max(f(row[2] - row[0]), 0) * Math.max(f(row[3] - row[1]), 0)),
  }));
  while (left.length && kept.length < most) {
    const [best, ...rest] = left;
    kept.push(best.row);
    left = rest.filter(({moved, area}) => {
      const side = (axis) => Math.max(f(Math.min(moved[axis + 2], best.moved[axis + 2]) - Math.max(moved[axis], best.moved[axis])), 0);
      const common = f(side(0) * side(1));
      return common <= f(f(iou) * f(f(area + best.area) - common));
    });
  }
  return kept;
}
