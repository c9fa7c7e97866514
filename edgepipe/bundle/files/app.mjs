// The page of an edgepipe bundle: everything runs here, no picture leaves the browser.
const $ = (id) => document.getElementById(id);
const state = (word) => { document.body.dataset.state = word; };

// Resizing exactly as Pillow does it, so that the answer is the one of training and of the device.
function weights(from, to, filter, support) {
  const scale = from / to, stretch = Math.max(scale, 1), reach = support * stretch, rows = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach + 0.5));
    const row = [];
    for (let x = first; x < last; x++) row.push(filter((x - centre + 0.5) / stretch));
    const sum = row.reduce((a, b) => a + b, 0);
    rows.push([first, row.map((w) => { const k = w / sum * 4194304; return Math.trunc(k < 0 ? k - 0.5 : k + 0.5); })]);
  }
  return rows;
}
const bilinear = (x) => Math.max(0, 1 - Math.abs(x));
const bicubic = (x) => {
  const a = -0.5; x = Math.abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
};
const byte = (sum) => Math.min(255, Math.max(0, Math.floor((sum + 2097152) / 4194304)));

export function resize(pixels, width, height, channels, toWidth, toHeight, how) {
  if (width === toWidth && height === toHeight) return pixels;
  const out = new Uint8Array(toWidth * toHeight * channels);
  if (how === "nearest") {
    for (let y = 0; y < toHeight; y++) for (let x = 0; x < toWidth; x++) {
      const sx = Math.floor((x + 0.5) * width / toWidth), sy = Math.floor((y + 0.5) * height / toHeight);
      for (let c = 0; c < channels; c++) out[(y * toWidth + x) * channels + c] = pixels[(sy * width + sx) * channels + c];
    }
    return out;
  }
  const [filter, support] = how === "bicubic" ? [bicubic, 2] : [bilinear, 1];
  let middle = pixels;
  if (width !== toWidth) {
    const across = weights(width, toWidth, filter, support);
    middle = new Uint8Array(toWidth * height * channels);
    for (let y = 0; y < height; y++) for (let x = 0; x < toWidth; x++) for (let c = 0; c < channels; c++) {
      const [first, row] = across[x];
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += row[k] * pixels[(y * width + first + k) * channels + c];
      middle[(y * toWidth + x) * channels + c] = byte(sum);
    }
  }
  if (height === toHeight) return middle;
  const down = weights(height, toHeight, filter, support);
  for (let y = 0; y < toHeight; y++) for (let x = 0; x < toWidth; x++) for (let c = 0; c < channels; c++) {
    const [first, row] = down[y];
    let sum = 0;
    for (let k = 0; k < row.length; k++) sum += row[k] * middle[((first + k) * toWidth + x) * channels + c];
    out[(y * toWidth + x) * channels + c] = byte(sum);
  }
  return out;
}

async function pixelsOf(blob, channels) {
  const picture = await createImageBitmap(blob, {colorSpaceConversion: "none", imageOrientation: "none"});
  const canvas = new OffscreenCanvas(picture.width, picture.height);
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(picture, 0, 0);
  const rgba = context.getImageData(0, 0, picture.width, picture.height).data;
  const pixels = new Uint8Array(picture.width * picture.height * channels);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    if (channels === 3) { pixels[j++] = rgba[i]; pixels[j++] = rgba[i + 1]; pixels[j++] = rgba[i + 2]; }
    else pixels[j++] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 32768) >> 16;
  }
  return [pixels, picture.width, picture.height];
}

let bundle, ort, session, threads;

async function start() {
  bundle = await (await fetch("bundle.json")).json();
  $("name").textContent = bundle.name.replaceAll("_", " ");
  document.title = bundle.name;
  try {
    ort = await import("./ort/ort.wasm.min.mjs");
  } catch {
    throw new Error("The browser's runtime is not in this bundle. On the machine that made it: " +
      "edgepipe targets install browser_wasm, then edgepipe bundle serve DIR");
  }
  threads = crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, 4) : 1;
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = new URL("./ort/", location.href).href;
  ort.env.logLevel = "error";
  const bytes = new Uint8Array(await (await fetch(bundle.model)).arrayBuffer());
  session = await ort.InferenceSession.create(bytes, {executionProviders: ["wasm"]});
  const mb = (bytes.length / 1e6).toFixed(bytes.length < 1e6 ? 2 : 1);
  $("facts").textContent = `${mb} MB · ${bundle.bit_identical ? "int8 throughout" : "some layers in float"} · ` +
    `${bundle.signature.classes.length || "?"} classes · ${threads} thread${threads > 1 ? "s" : ""}`;
  for (const name of bundle.pictures) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = name; image.alt = "example";
    button.append(image);
    button.onclick = async () => show(await (await fetch(name)).blob());
    $("examples").append(button);
  }
  state("ready");
}

async function show(blob) {
  state("working");
  $("picture").src = URL.createObjectURL(blob);
  const how = bundle.signature.preprocessing, [height, width] = how.image_size, channels = how.channels;
  const [raw, w, h] = await pixelsOf(blob, channels);
  const pixels = resize(raw, w, h, channels, width, height, how.interpolation);
  const given = session.inputMetadata[0].shape[0], batch = typeof given === "number" && given > 0 ? given : 1;
  const size = width * height, one = channels * size, input = new Float32Array(batch * one);
  const f = Math.fround;
  for (let c = 0; c < channels; c++) {
    const mean = f(how.mean[c]), std = f(how.std[c]);
    for (let i = 0; i < size; i++) input[c * size + i] = f(f(f(pixels[i * channels + c] / 255) - mean) / std);
  }
  for (let row = 1; row < batch; row++) input.copyWithin(row * one, 0, one);  // a fixed batch is filled up
  const feed = {[session.inputNames[0]]: new ort.Tensor("float32", input, [batch, channels, height, width])};
  await session.run(feed);  // the first run is slower: buffers are made
  const began = performance.now();
  const data = (await session.run(feed))[session.outputNames[0]].data;
  const took = performance.now() - began;
  const logits = Array.from(data.slice(0, data.length / batch));
  const top = Math.max(...logits), powers = bundle.probabilities ? logits : logits.map((x) => Math.exp(x - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  const best = logits.map((_, i) => i).sort((a, b) => logits[b] - logits[a]).slice(0, 5);
  const named = (i) => bundle.signature.classes[i] ?? `class ${i}`;
  $("answer").textContent = named(best[0]);
  $("time").textContent = `${took.toFixed(took < 10 ? 2 : 1)} ms`;
  $("bars").replaceChildren(...best.map((i, rank) => {
    const row = document.createElement("div");
    row.className = rank ? "bar" : "bar first";
    const share = powers[i] / sum;
    const label = document.createElement("span"), track = document.createElement("i"), number = document.createElement("b");
    label.textContent = named(i);
    number.textContent = `${(100 * share).toFixed(1)}%`;
    track.style.setProperty("--share", share);
    row.append(label, track, number);
    return row;
  }));
  document.body.dataset.logits = JSON.stringify(logits);
  state("answered");
}

function failed(error) { $("problem").textContent = String(error.message ?? error); state("failed"); }
const take = (files) => { if (files?.[0]) show(files[0]).catch(failed); };
const zone = $("zone");
$("file").onchange = (event) => take(event.target.files);
addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
addEventListener("dragleave", () => zone.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); take(event.dataTransfer.files); });
addEventListener("paste", (event) => take(event.clipboardData.files));
start().catch(failed);
