// The page of an edgepipe bundle: everything runs here, no picture leaves the browser.
import {framed, normalized, pixelsOf, typed} from "./pixels.mjs";

const $ = (id) => document.getElementById(id);
const state = (word) => { document.body.dataset.state = word; };

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
  const pixels = framed(raw, w, h, channels, how);
  const given = session.inputMetadata[0].shape[0], batch = typeof given === "number" && given > 0 ? given : 1;
  const one = channels * width * height, input = new Float32Array(batch * one);
  input.set(normalized(pixels, channels, how));
  for (let row = 1; row < batch; row++) input.copyWithin(row * one, 0, one);  // a fixed batch is filled up
  const type = session.inputMetadata[0].type;
  const feed = {[session.inputNames[0]]: new ort.Tensor(type, typed(input, type), [batch, channels, height, width])};
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
