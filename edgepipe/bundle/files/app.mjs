// The page of an edgepipe bundle: everything runs here, nothing that is given leaves the browser.
import {ask} from "./feed.mjs";
import {recorded} from "./microphone.mjs";
import {pixelsOf, placement, prepared} from "./pixels.mjs";
import {show} from "./show.mjs";
import {inputsOf, part, soundOf} from "./sound.mjs";

const $ = (id) => document.getElementById(id);
const state = (word) => { document.body.dataset.state = word; };

let bundle, ort, session, threads, task;

async function start() {
  bundle = await (await fetch("bundle.json")).json();
  $("name").textContent = bundle.name.replaceAll("_", " ");
  document.title = bundle.name;
  if (bundle.signature.sound) ofSound(bundle.signature.sound);
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

// The page of a model of recordings.
function ofSound(how) {
  const seconds = how.samples / how.sample_rate, longest = Math.min(60, seconds), button = $("record");
  $("file").accept = "audio/*,.wav,.flac,.ogg";
  $("file").ariaLabel = "choose a sound file";
  $("drop").textContent = "Drop a sound file";
  $("how").textContent = `or click: ${Number(seconds.toPrecision(3))} s at ${how.sample_rate} Hz are heard`;
  $("private").textContent = "No sound leaves this computer.";
  $("zone").style.aspectRatio = 3;
  $("examples").previousElementSibling.hidden = true;
  $("tools").hidden = false;
  $("picture").hidden = true;
  button.textContent = `Record ${Number(longest.toPrecision(3))} s`;
  if (!navigator.mediaDevices) {
    button.disabled = true;
    button.title = "Browsers give the microphone to pages of https:// and of this computer only.";
    return;
  }
  let stop = null;
  button.onclick = async () => {
    if (stop) return stop();
    const label = button.textContent, stopped = new Promise((resolve) => { stop = resolve; });
    button.textContent = "Stop";
    try {
      await heard(...await recorded(longest, stopped));
      $("sound").hidden = true;
    } catch (error) {
      failed(error.name === "NotAllowedError" ? new Error("The microphone was not allowed.") : error);
    } finally {
      stop = null;
      button.textContent = label;
    }
  };
}

async function heard(samples, rate) {
  if (!session) return;
  state("working");
  const how = bundle.signature.sound, wave = part(samples, rate, how);
  const [outputs, took] = await ask(ort, session, bundle.feed, inputsOf(wave, how));
  answered(outputs, took, null, null, "one sound", wave);
}

function answered(outputs, took, at, size, what, wave = null) {
  const about = {classes: bundle.signature.classes, size, feed: bundle.feed};
  const found = task.answered(outputs, bundle.page?.settings ?? {}, about);
  state("answered");
  show(found, took, at, size, what, wave);
  const first = Object.values(outputs)[0].data;
  if (first.length <= 10000) document.body.dataset.logits = JSON.stringify(Array.from(first));
}

function failed(error) { $("problem").textContent = String(error.message ?? error); state("failed"); }
const sound = async (file) => {
  $("sound").src = URL.createObjectURL(file);
  $("sound").hidden = false;
  await heard(...await soundOf(file, bundle.signature.sound));
};
const take = (files) => { if (session && files?.[0]) (bundle.signature.sound ? sound : picture)(files[0]).catch(failed); };
const zone = $("zone");
$("file").onchange = (event) => { take(event.target.files); event.target.value = ""; };
addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
addEventListener("dragleave", () => zone.classList.remove("over"));
addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); take(event.dataTransfer.files); });
addEventListener("paste", (event) => take(event.clipboardData.files));
start().catch(failed);
