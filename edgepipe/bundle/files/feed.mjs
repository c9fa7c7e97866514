// How the runs of a model go together: as example.py's `answer`, through onnxruntime-web.
import {typed} from "./pixels.mjs";

const product = (dims) => dims.reduce((a, b) => a * b, 1);

// IEEE half of a number, and back: ties to the even one.
const scratch = new DataView(new ArrayBuffer(4));
export function half(value) {
  scratch.setFloat32(0, value);
  const bits = scratch.getUint32(0), sign = bits >>> 16 & 0x8000, size = Math.abs(value);
  if (Number.isNaN(value)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  const exponent = Math.max(-14, (bits >>> 23 & 255) - 127), unit = 2 ** (exponent - 10), low = Math.floor(size / unit);
  const rest = size / unit - low, whole = low + (rest > 0.5 || (rest === 0.5 && low % 2) ? 1 : 0);
  return sign | ((exponent + 14) * 1024 + whole);  // a carry goes into the exponent, as it must
}
export function whole(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, rest = bits & 1023;
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + rest / 1024) * 2 ** (exponent - 15) : rest * 2 ** -24);
}

function asType(values, type) {
  if (type === "float16") return Uint16Array.from(values, half);
  if (type === "float64") return Float64Array.from(values);
  if (type === "float32") return Float32Array.from(values);
  return type === "bool" ? Uint8Array.from(values) : typed(values, type);
}

// {data, dims} with `batch` copies along a new axis; null: none.
export function repeated({data, dims}, axis, batch) {
  if (axis === null) return {data, dims};
  const inner = product(dims.slice(axis)), out = new data.constructor(data.length * batch);
  for (let from = 0, to = 0; from < data.length || (from === 0 && to === 0 && !inner); from += inner) {
    for (let k = 0; k < batch; k++, to += inner) out.set(data.subarray(from, from + inner), to);
    if (!inner) break;
  }
  return {data: out, dims: [...dims.slice(0, axis), batch, ...dims.slice(axis)]};
}

// The first example's part of an output; of a batch of 1 all of it is that example's.
export function firstOf({data, dims, type}, batch, axis) {
  if (batch === 1) return {data, type, dims: dims[axis ?? 0] === 1 ? dims.filter((_, i) => i !== (axis ?? 0)) : dims};
  const at = axis ?? dims.indexOf(batch), inner = product(dims.slice(at + 1)), out = [];
  for (let from = 0; from < data.length; from += inner * dims[at]) out.push(...data.slice(from, from + inner));
  return {data: data.constructor.from(out), type, dims: [...dims.slice(0, at), ...dims.slice(at + 1)]};
}

function numbers({data, dims, type}) {
  if (type === "float16") data = Float32Array.from(data, data instanceof Uint16Array ? whole : Number);
  if (type === "int64" || type === "uint64") data = Float64Array.from(data, Number);
  return {data, dims: Array.from(dims), type};
}

// Of an output with a state, (steps, ...).
function stacked(parts) {
  const size = parts[0].data.length, data = new parts[0].data.constructor(size * parts.length);
  parts.forEach((part, i) => data.set(part.data, i * size));
  return {...parts[0], data, dims: [parts.length, ...parts[0].dims]};
}

// example: {data, dims} by input's name, without an axis that counts examples; "" is the only input.
// Returns outputs by name, {data, dims, type}, and the milliseconds of all steps.
export async function ask(ort, session, feed, example) {
  const tensor = (type, {data, dims}) => new ort.Tensor(type, data, dims), rows = {};
  const free = feed.inputs.filter((item) => !(item.name in feed.state));
  for (const item of feed.inputs) {
    const given = example[item.name] ?? (free.length === 1 && free[0] === item ? example[""] : undefined);
    if (!given && !(item.name in feed.state)) throw new Error(`This page cannot make the input ${item.name}. Use example.py.`);
    const {data, dims} = given ?? {data: new Float32Array(product(item.shape)), dims: item.shape};
    rows[item.name] = {data: asType(data, item.type), dims};
  }
  const names = feed.outputs.map((item) => item.name), asked = [...new Set([...names, ...Object.values(feed.state)])];
  const found = Object.fromEntries(names.map((name) => [name, []]));
  let state = {}, took = 0;
  for (let step = 0; step < feed.steps; step++) {
    const fed = {};
    for (const item of feed.inputs) {
      let {data, dims} = rows[item.name];
      if (item.stepped) {
        const size = data.length / dims[0];
        [data, dims] = [data.slice(step * size, (step + 1) * size), dims.slice(1)];
      }
      fed[item.name] = state[item.name] ?? tensor(item.type, repeated({data, dims}, item.axis, feed.batch));
    }
    if (feed.steps === 1) await session.run(fed, asked);  // the first run is slower: buffers are made
    const began = performance.now(), out = await session.run(fed, asked);
    took += performance.now() - began;
    for (const item of feed.outputs) found[item.name].push(numbers(firstOf(out[item.name], feed.batch, item.axis)));
    state = Object.fromEntries(Object.entries(feed.state).map(([input, output]) => [input, out[output]]));
  }
  const stateful = Object.keys(feed.state).length > 0;
  return [Object.fromEntries(names.map((name) => [name, stateful ? stacked(found[name]) : found[name][0]])), took];
}
