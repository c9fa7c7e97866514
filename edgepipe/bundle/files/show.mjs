// What a task's module says of an answer, drawn. The module's `answered` returns any of these:
//   title, note, text: in words; rows: [[what, value], …]; bars: [{label, share}], shares of 1, best first;
//   boxes: [{box: [x1, y1, x2, y2] in pixels of the input, label, score, colour: a number}];
//   mask: {classes: a number for each pixel, height, width, names: by class}, over the input;
//   picture: {pixels: RGBA bytes, height, width}, of what the input shows; series: {values, low, high, cut}, along a sound.
const $ = (id) => document.getElementById(id);
const hue = (of) => (of * 137.508 + 211) % 360;
const percent = (share) => `${(100 * share).toFixed(1)}%`;

function made(name, classes, text) {
  const element = document.createElement(name);
  element.className = classes;
  if (text !== undefined) element.textContent = text;
  return element;
}

export function bars(found) {
  return found.map(({label, share}, rank) => {
    const row = made("div", rank ? "bar" : "bar first"), track = made("i", "");
    track.style.setProperty("--share", Math.min(1, Math.max(0, share)));
    row.append(made("span", "", label), track, made("b", "", percent(share)));
    return row;
  });
}

const swatch = (of) => {
  const element = made("i", "swatch");
  element.style.background = `hsl(${hue(of)} 75% 50%)`;
  return element;
};

// Corners in pixels of the picture as it was, no further than its sides.
export function inPicture([x1, y1, x2, y2], at) {
  const [width, height] = at.size, [wide, high, left, top] = at.place;
  const inside = (value, most) => Math.min(most, Math.max(0, value));
  const [x, y] = [(value) => inside((value - left) * width / wide, width), (value) => inside((value - top) * height / high, height)];
  return [x(x1), y(y1), x(x2), y(y2)];
}

function boxRows(boxes, at) {
  return boxes.map(({box, label, score, colour}) => {
    const row = made("li", "entry");
    row.title = inPicture(box, at).map(Math.round).join(",");
    row.append(swatch(colour), made("span", "", label), made("b", "", score.toFixed(2)));
    return row;
  });
}

// The canvas over the picture, in whose coordinates one can draw in pixels of the network's input.
function canvasOf(at) {
  const canvas = $("overlay"), context = canvas.getContext("2d"), [width, height] = at.size, [wide, high, left, top] = at.place;
  const shrink = Math.min(1, 2048 / Math.max(width, height)), grow = Math.max(1, 640 / Math.max(width, height));
  const scale = shrink * grow;
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const [sx, sy] = [canvas.width / wide, canvas.height / high];
  context.setTransform(sx, 0, 0, sy, -left * sx, -top * sy);
  return {context, canvas};
}

function drawBoxes(boxes, at) {
  const {context, canvas} = canvasOf(at), shown = canvas.getBoundingClientRect(), scale = canvas.width / at.size[0];
  // Lines and letters of one size on the screen, whatever the picture's.
  const unit = Math.max(canvas.width / Math.max(1, shown.width), canvas.height / Math.max(1, shown.height));
  context.resetTransform();
  context.font = `600 ${13 * unit}px system-ui, sans-serif`;
  context.textBaseline = "top";
  for (const {box, label, score, colour} of [...boxes].reverse()) {
    const [left, top, right, bottom] = inPicture(box, at).map((value) => value * scale);
    context.lineWidth = 2.5 * unit;
    context.strokeStyle = `hsl(${hue(colour)} 75% 50%)`;
    context.strokeRect(left, top, right - left, bottom - top);
    const text = `${label} ${score.toFixed(2)}`, wide = context.measureText(text).width + 8 * unit, high = 18 * unit;
    const from = Math.max(0, Math.min(left, canvas.width - wide)), above = top >= high ? top - high : top;
    context.fillStyle = `hsl(${hue(colour)} 75% 28%)`;
    context.fillRect(from, above, wide, high);
    context.fillStyle = "#fff";
    context.fillText(text, from + 4 * unit, above + 2 * unit);
  }
}

function rgbOf(of) {
  const context = new OffscreenCanvas(1, 1).getContext("2d");
  context.fillStyle = `hsl(${hue(of)} 75% 50%)`;
  context.fillRect(0, 0, 1, 1);
  return context.getImageData(0, 0, 1, 1).data;
}

// Pixels of each class on the picture itself, the largest first: [[class, share], …].
export function shares({classes, height, width}, at, size) {
  const [wide, high, left, top] = at.place, counts = new Map();
  const [rows, columns] = size, scale = [width / columns, height / rows];
  const span = (from, length, most, factor) =>
    [Math.max(0, Math.round(from * factor)), Math.min(most, Math.max(1, Math.round((from + length) * factor)))];
  const [x1, x2] = span(left, wide, width, scale[0]), [y1, y2] = span(top, high, height, scale[1]);
  for (let y = y1; y < y2; y++) for (let x = x1; x < x2; x++) {
    const of = classes[y * width + x];
    counts.set(of, (counts.get(of) ?? 0) + 1);
  }
  const total = Math.max(1, (x2 - x1) * (y2 - y1));
  return [...counts].sort((a, b) => b[1] - a[1]).map(([of, count]) => [of, count / total]);
}

function drawMask({classes, height, width}, hidden, at, size) {
  const {context} = canvasOf(at), layer = new OffscreenCanvas(width, height), pen = layer.getContext("2d");
  const image = pen.createImageData(width, height), colours = new Map();
  classes.forEach((of, i) => {
    if (hidden.has(of)) return;
    if (!colours.has(of)) colours.set(of, rgbOf(of));
    const [red, green, blue] = colours.get(of);
    image.data.set([red, green, blue, 150], 4 * i);
  });
  pen.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, size[1], size[0]);
}

function legend(mask, at, size) {
  const hidden = new Set();
  drawMask(mask, hidden, at, size);
  return shares(mask, at, size).map(([of, share]) => {
    const row = made("li", "entry"), label = made("label", ""), box = made("input", "");
    box.type = "checkbox";
    box.checked = true;
    box.onchange = () => {
      if (box.checked) hidden.delete(of); else hidden.add(of);
      drawMask(mask, hidden, at, size);
    };
    label.append(box, swatch(of), made("span", "", mask.names[of]));
    row.append(label, made("b", "", percent(share)));
    return row;
  });
}

// The picture that comes out, without what the input's frame has beside the picture, in the proportions of the one given.
function drawPicture({pixels, height, width}, at, size) {
  const [wide, high, left, top] = at.place, scale = [width / size[1], height / size[0]];
  const [x, y] = [Math.max(0, left) * scale[0], Math.max(0, top) * scale[1]];
  const [w, h] = [Math.min(wide, size[1]) * scale[0], Math.min(high, size[0]) * scale[1]];
  const whole = new OffscreenCanvas(width, height), canvas = $("out");
  whole.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
  canvas.width = Math.round(w);
  canvas.height = Math.round(h);
  canvas.getContext("2d").drawImage(whole, x, y, w, h, 0, 0, canvas.width, canvas.height);
  const cut = left < 0 || top < 0;
  canvas.style.aspectRatio = cut ? `${w} / ${h}` : `${at.size[0]} / ${at.size[1]}`;
  return `${canvas.width} × ${canvas.height} pixels`;
}

// A sound's wave, as high as the canvas.
function drawWave(wave) {
  const canvas = $("overlay"), pen = canvas.getContext("2d");
  canvas.width = 1200; canvas.height = 400;
  pen.fillStyle = "hsl(211 20% 60% / .7)";
  const most = wave.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-9), each = wave.length / 1200;
  for (let x = 0; x < 1200; x++) {
    let low = Infinity, high = -Infinity;
    for (let i = Math.floor(x * each); i < Math.max(Math.floor(x * each) + 1, (x + 1) * each) && i < wave.length; i++) {
      low = Math.min(low, wave[i]); high = Math.max(high, wave[i]);
    }
    if (high >= low) pen.fillRect(x, 200 - 190 * high / most, 1, Math.max(2, 190 * (high - low) / most));
  }
}

// Scores along a sound, over its wave, with a line where a yes begins.
function drawSeries({values, low, high, cut}) {
  const pen = $("overlay").getContext("2d");
  const y = (value) => 390 - 380 * (value - low) / (high - low || 1), x = (i) => 1200 * i / values.length;
  pen.fillStyle = "hsl(150 70% 45% / .3)";
  values.forEach((value, i) => { if (value >= cut) pen.fillRect(x(i), 0, x(i + 1) - x(i) + 0.5, 400); });
  pen.lineWidth = 3;
  pen.strokeStyle = "hsl(211 85% 55%)";
  pen.beginPath();
  values.forEach((value, i) => { pen.lineTo(x(i), y(value)); pen.lineTo(x(i + 1), y(value)); });
  pen.stroke();
  pen.setLineDash([8, 8]);
  pen.strokeStyle = "hsl(0 0% 55%)";
  pen.beginPath(); pen.moveTo(0, y(cut)); pen.lineTo(1200, y(cut)); pen.stroke();
}

// at: {size: [width, height] of the picture, place: [width, height, left, top] of it in the input}; null: no picture.
// size: [height, width] of the input.
// wave: the samples of a sound; null: there is none.
export function show(found, took, at, size, what, wave) {
  $("overlay").getContext("2d").resetTransform();
  $("overlay").width = 1;
  const list = [];
  let title = found.title ?? "";
  if (at && found.boxes) { drawBoxes(found.boxes, at); list.push(...boxRows(found.boxes, at)); }
  if (at && found.mask) {
    list.push(...legend(found.mask, at, size));
    const [largest] = shares(found.mask, at, size);
    title ||= largest ? `mostly ${found.mask.names[largest[0]]}` : "";
  }
  $("out").hidden = !(at && found.picture);
  if (at && found.picture) title ||= drawPicture(found.picture, at, size);
  if (wave) drawWave(wave);
  if (wave && found.series) drawSeries(found.series);
  $("answer").textContent = title;
  $("answer").classList.toggle("long", title.length > 24);
  $("text").textContent = found.text ?? "";
  $("text").hidden = !found.text;
  $("note").textContent = found.note ?? "";
  $("bars").replaceChildren(...bars(found.bars ?? []));
  $("list").replaceChildren(...list);
  $("list").hidden = list.length === 0;
  $("rows").replaceChildren(...(found.rows ?? []).flatMap(([name, value]) => [made("dt", "", name), made("dd", "", value)]));
  $("time").textContent = `${took.toFixed(took < 10 ? 2 : 1)} ms`;
  $("what").textContent = what;
}
