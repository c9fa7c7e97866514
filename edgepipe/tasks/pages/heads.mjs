// Layouts of detectors' outputs, each as edgepipe/tasks/detection/heads has it: what the page draws is what was measured.
// read: (outputs by name, about) -> {boxes, scores, classes (scores of a place), labels, suppressed, first}
import {cells, cellsOf, columns, cornersOf, distance, f, grid, inPixels, isFloat, joined, probabilities, sides, softmax, turned}
  from "./boxes.mjs";

const ANCHORS = [[10, 13, 16, 30, 33, 23], [30, 61, 62, 45, 59, 119], [116, 90, 156, 198, 373, 326]];
const PICODET = [8, 16, 32, 64];
const only = (outputs) => Object.values(outputs)[0];
const last = (one) => one.dims.at(-1);
const named = (outputs, test) => Object.keys(outputs).filter((name) => test(outputs[name], name));
const largest = (values) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
const scaled = (boxes, about) => boxes.map((value, i) => value * sides(about)[i % 4]);
// As numpy rounds: halves to the even number.
const rint = (x) => { const low = Math.floor(x); return x - low === 0.5 ? low + (low % 2 !== 0 ? 1 : 0) : Math.round(x); };

// Objectness times scores of classes, of rows of 1 + classes.
function together(said, width) {
  const out = new Float32Array(said.length / width * (width - 1));
  for (let i = 0, j = 0; i < said.length; i += width) for (let c = 1; c < width; c++) out[j++] = said[i] * said[i + c];
  return out;
}

function yolox(outputs, about) {
  const {data, dims: [count, width]} = only(outputs), places = grid(about, cells(about, count));
  const given = columns(data, width, 0, 4), raw = new Float32Array(given.length);
  places.forEach(([x, y, stride], i) => {
    raw[4 * i] = f(given[4 * i] + x) * stride;
    raw[4 * i + 1] = f(given[4 * i + 1] + y) * stride;
    for (let k = 2; k < 4; k++) raw[4 * i + k] = f(Math.exp(Math.min(given[4 * i + k], 20))) * stride;
  });
  // Decoded middles lie around their cells; raw ones, taken for pixels, all lie in the picture's corner.
  const decoded = inPixels(given, places, about);
  const boxes = cornersOf(distance(raw, places) <= distance(decoded, places) ? raw : decoded);
  const said = probabilities(columns(data, width, 4, width), width - 4, about.scores);
  return {boxes, scores: together(said, width - 4), classes: width - 5};
}

function yolov5(outputs, about) {
  const one = only(outputs), names = Object.keys(outputs);
  if (names.length === 1 && one.dims.length === 2) {
    const [count, width] = one.dims, places = grid(about, cells(about, count, 3), 3);
    const said = probabilities(columns(one.data, width, 4, width), width - 4, about.scores);
    const boxes = cornersOf(inPixels(columns(one.data, width, 0, 4), places, about));
    return {boxes, scores: together(said, width - 4), classes: width - 5};
  }
  const rowsOf = ({dims}) => dims.length === 4 ? dims[1] : dims[1];
  const strides = names.map((name) => about.size[0] / rowsOf(outputs[name])), sorted = [...strides].sort((a, b) => a - b);
  const anchors = about.anchors.length ? about.anchors : ANCHORS;
  if (anchors.length !== strides.length)
    throw new Error(`${strides.length} maps of strides ${strides.join(", ")}, and anchors of ${anchors.length}: set task.anchors.`);
  const parts = names.map((name, at) => ofMap(outputs[name], strides[at], anchors[sorted.indexOf(strides[at])], about));
  return {boxes: joined(parts.map((part) => part.boxes)), scores: joined(parts.map((part) => part.scores)), classes: parts[0].classes};
}

function ofMap({data, dims}, stride, anchors, about) {
  const flat = dims.length === 3, [rows, high] = flat ? dims.slice(1) : dims.slice(1, 3), area = rows * high;
  const width = flat ? dims[0] / 3 : dims[3];
  const raw = flat ? joined([0, 1, 2].map((k) => turned(data.subarray(k * width * area, (k + 1) * width * area), area))) : data;
  const said = probabilities(raw, width, about.scores), places = grid(about, [stride], 3);  // some end in the sigmoid already
  const boxes = new Float32Array(4 * places.length);
  places.forEach(([x, y], i) => [x, y].forEach((cell, axis) => {
    boxes[4 * i + axis] = f(f(f(2 * said[width * i + axis]) - 0.5) + cell) * stride;
    boxes[4 * i + 2 + axis] = f(f(2 * said[width * i + 2 + axis]) ** 2) * anchors[2 * Math.floor(i / area) + axis];
  }));
  return {boxes: cornersOf(boxes), scores: together(columns(said, width, 4, width), width - 4), classes: width - 5};
}

function yolov8(outputs, about) {
  const {data, dims} = only(outputs);
  const placesLast = dims[0] >= 5 && cells(about, dims[1]).length > 0;
  const placesFirst = about.classes > 0 && dims[1] === 4 + about.classes && cells(about, dims[0]).length > 0;
  const turn = placesLast && !(placesFirst && dims[0] !== 4 + about.classes);
  const [count, width] = turn ? [dims[1], dims[0]] : dims, values = turn ? turned(data, count) : data;
  const boxes = cornersOf(inPixels(columns(values, width, 0, 4), grid(about, cells(about, count)), about));
  return {boxes, scores: probabilities(columns(values, width, 4, width), width - 4, about.scores), classes: width - 4};
}

function endToEnd(outputs, about) {
  const {data} = outputs[named(outputs, ({dims}) => dims.length === 2)[0]];
  const column = (k) => columns(data, 6, k, k + 1);
  const mayBe = (score, label) => column(score).every((value) => value >= 0 && value <= f(1.02)) &&
    column(label).every((value) => value === rint(value));
  const [boxes, scores, labels] = !mayBe(4, 5) && mayBe(1, 0)
    ? [columns(data, 6, 2, 6), column(1), column(0)] : [columns(data, 6, 0, 4), column(4), column(5)];
  const shares = boxes.length > 0 && largest(boxes) <= 2;  // of the sides: no box is two pixels large
  return {boxes: shares ? scaled(boxes, about) : boxes, scores, labels: Array.from(labels, rint), suppressed: true};
}

function detr(outputs, about) {
  let score = ["logits", "pred_logits"].find((name) => name in outputs && "pred_boxes" in outputs), box = "pred_boxes";
  if (!score) {
    const tables = named(outputs, (one) => one.dims.length === 2 && isFloat(one));
    let found = tables.filter((name) => last(outputs[name]) === 4);
    if (found.length === 2) found = found.filter((name) => name.includes("box"));
    [box] = found;
    score = tables.find((name) => name !== box);
  }
  const raw = outputs[score].data, classes = last(outputs[score]);
  const boxes = scaled(cornersOf(Float32Array.from(outputs[box].data)), about);
  if (!hasNothing(raw, classes, about))
    return {boxes, scores: probabilities(raw, classes, about.scores), classes, suppressed: true};
  return {boxes, scores: columns(softmax(raw, classes), classes, 0, classes - 1), classes: classes - 1, suppressed: true};
}

// Whether the last class is "no object".
function hasNothing(raw, classes, about) {
  if (about.scores !== "auto" || classes < 2) return about.scores === "softmax";
  if (about.classes && [about.classes, about.classes + 1].includes(classes)) return classes !== about.classes;
  let won = 0;
  for (let i = 0; i < raw.length; i += classes) {
    const row = raw.subarray(i, i + classes - 1);
    if (row.every((value) => value < raw[i + classes - 1])) won++;
  }
  return won / (raw.length / classes) > 0.5;
}

function listed(outputs, about) {
  const [box] = named(outputs, (one) => isFloat(one) && last(one) === 4);
  const [label] = named(outputs, (one) => !isFloat(one) && one.dims.length <= 1);
  const [score] = named(outputs, (one, name) => name !== box && isFloat(one) && one.dims.length <= 1);
  const boxes = outputs[box].data, shares = boxes.length > 0 && largest(boxes) <= 2;
  return {boxes: shares ? scaled(boxes, about) : boxes, scores: outputs[score].data, labels: Array.from(outputs[label].data, Number),
    suppressed: true, first: 1};
}

function tensorflowApi(outputs, about) {
  const words = ["detection_boxes", "detection_classes", "detection_scores"];
  let names = words.map((word) => named(outputs, (_, name) => name.split(":")[0] === word));
  if (names.every((found) => found.length === 1)) names = names.flat();
  else {
    const [box] = named(outputs, (one) => one.dims.length === 2 && last(one) === 4), count = outputs[box].dims[0];
    names = [box, ...named(outputs, (one) => one.dims.length === 1 && one.dims[0] === count).slice(0, 2)];
  }
  let [given, labels, scores] = names.map((name) => outputs[name].data);
  const whole = (values) => values.every((value) => value === rint(value));
  if (whole(scores) && !whole(labels)) [labels, scores] = [scores, labels];  // some exporters order the two by name
  const boxes = scaled(given.map((_, i) => given[i ^ 1]), about);
  return {boxes, scores, labels: Array.from(labels, rint), suppressed: true, first: names[0].startsWith(words[0]) ? 1 : 0};
}

function ppyoloe(outputs, about) {
  const names = Object.keys(outputs);
  const [box, score] = [names, [...names].reverse()].find(([boxes, scores]) => {
    const [count, four] = outputs[boxes].dims;
    return four === 4 && outputs[scores].dims.includes(count) && count >= 20 && cells(about, count).length;
  });
  const boxes = outputs[box].data, count = boxes.length / 4, {data, dims} = outputs[score];
  const values = dims[0] === count ? data : turned(data, count), classes = values.length / count;
  return {boxes, scores: probabilities(values, classes, about.scores), classes};
}

function picodet(outputs, about) {
  const boxes = [], scores = [], count = Object.keys(outputs).length / 2;
  let classes = 0;
  for (const stride of about.strides.length ? about.strides : PICODET.slice(0, count)) {
    const mine = named(outputs, ({dims}) => dims[0] === cellsOf(about.size, stride));
    // Of two that could be, the distances stand last: exporters list the scores of all maps first.
    const far = mine.filter((name) => last(outputs[name]) % 4 === 0 && last(outputs[name]) >= 16).at(-1);
    const score = outputs[mine.find((name) => name !== far)], bins = last(outputs[far]) / 4;
    const shares = softmax(outputs[far].data, bins), one = new Float32Array(shares.length / bins);
    grid(about, [stride]).forEach(([x, y], i) => {
      for (let side = 0; side < 4; side++) {
        let sum = 0;
        for (let k = 0; k < bins; k++) sum = f(sum + f(shares[(4 * i + side) * bins + k] * k));
        one[4 * i + side] = ((side % 2 ? y : x) + 0.5) * stride + (side < 2 ? -1 : 1) * f(sum * stride);
      }
    });
    boxes.push(one);
    scores.push(score.data);
    classes = last(score);
  }
  return {boxes: joined(boxes), scores: probabilities(joined(scores), classes, about.scores), classes};
}

export const HEADS = {yolox, yolov5, yolov8, end_to_end: endToEnd, detr, listed, tensorflow_api: tensorflowApi, ppyoloe, picodet};
