// The page of an edgepipe bundle: everything runs here, nothing that is given leaves the browser.
import {ask} from "./feed.mjs";
import {pixelsOf, placement, prepared} from "./pixels.mjs";
import {show} from "./show.mjs";

const $ = (id) => document.getElementById(id);
const state = (word) => { document.body.dataset.state = word; };

let bundle, ort, session, threads, task;

async function start() {
  bundle = await (await fetch("bundle.json")).json();
  $("name").textContent = bundle.name.replaceAll("_", " ");
  document.title = bundle.name;
  task = await import(bundle.page ? `./${bundle.page.module}` : "./numbers.mjs");
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
  const size = bytes.length < 1e5 ? `${(bytes.length / 1e3).toPrecision(2)} kB` : `${(bytes.length / 1e6).toPrecision(2)} MB`;
  const classes = bundle.signature.classes.length;
  $("facts").textContent = [size, bundle.bit_identical ? "int8 throughout" : "some layers in float",
    ...(classes ? [`${classes} classes`] : []), `${threads} thread${threads > 1 ? "s" : ""}`].join(" · ");
  for (const name of bundle.pictures) {
    const button = document.createElement("button"), image = document.createElement("img");
    image.src = name; image.alt = `example ${$("examples").children.length + 1}`;
    button.append(image);
    button.onclick = async () => picture(await (await fetch(name)).blob()).catch(failed);
    $("examples").append(button);
  }
  state("ready");
}

async function picture(blob) {
  state("working");
  const how = bundle.signature.preprocessing, channels = how.channels;
  const [raw, w, h] = await pixelsOf(blob, channels), image = $("picture");
  if (image.src) URL.revokeObjectURL(image.src);
  image.src = URL.createObjectURL(blob);
  image.classList.toggle("small", Math.max(w, h) <= 128);
  zone.style.aspectRatio = Math.min(2.2, Math.max(0.6, w / h));
  const given = prepared(raw, w, h, channels, how);
  const [outputs, took] = await ask(ort, session, bundle.feed, {"": given});
  await image.decode().catch(() => {});
  answered(outputs, took, {size: [w, h], place: placement(w, h, how)}, given.dims.slice(1), "one picture");
}

function answered(outputs, took, at, size, what) {
  const about = {classes: bundle.signature.classes, size, feed: bundle.feed};
  const found = task.answered(outputs, bundle.page?.settings ?? {}, about);
  state("answered");
  show(found, took, at, size, what);
  const first = Object.values(outputs)[0].data;
  if (first.length <= 10000) document.body.dataset.logits = JSON.stringify(Array.from(first));
}

function failed(error) { $("problem").textContent = String(error.message ?? error); state("failed"); }
const take = (files) => { if (session && files?.[0]) picture(files[0]).catch(failed); };
const zone = $("zone");
$("file").onchange = (event) => { take(event.target.files); event.target.value = ""; };
addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
addEventListener("dragleave", () => zone.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); take(event.dataTransfer.files); });
addEventListener("paste", (event) => take(event.clipboardData.files));
start().catch(failed);
