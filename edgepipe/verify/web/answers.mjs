// A model's answers to a job's inputs in onnxruntime-web; used in Node and in the page alike.

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array, bool: Uint8Array,
  uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array,
  int8: Int8Array, int16: Int16Array, int32: Int32Array, int64: BigInt64Array,
};
const product = (sizes) => sizes.reduce((all, size) => all * size, 1);

// The bytes of each of the first `count` examples of an answer; how: {batch, axis (that counts examples, null: the first of its size)}.
export function examples(raw, dims, how, count) {
  if (how.batch === 1) return [raw.slice()];
  const before = product(dims.slice(0, counting(dims, how)));
  const inner = raw.length / before / how.batch;
  return Array.from({length: count}, (_, row) => {
    const one = new Uint8Array(before * inner);
    for (let at = 0; at < before; at++) {
      const from = (at * how.batch + row) * inner;
      one.set(raw.subarray(from, from + inner), at * inner);
    }
    return one;
  });
}

function counting(dims, how) {
  const axis = how.axis ?? dims.indexOf(how.batch);
  if (axis < 0) throw new Error(`an output of shape ${dims} for ${how.batch} examples`);
  return axis;
}

// Shape of one example of an answer.
export function shapeOfOne(dims, how) {
  if (how.batch === 1) return dims[0] === 1 ? dims.slice(1) : [...dims];
  return dims.filter((_, axis) => axis !== counting(dims, how));
}

// One input of one run: [bytes, dims], of the bytes of that input in each example of the batch.
export function placed(rows, item, step, steps) {
  const shape = item.stepped ? item.shape.slice(1) : item.shape;
  const size = item.stepped ? item.bytes / steps : item.bytes, from = item.stepped ? step * size : 0;
  const parts = rows.map((row) => row.subarray(from, from + size));
  if (item.axis === null) return [parts[0].slice(), shape];
  const before = product(shape.slice(0, item.axis)), inner = size / before;
  const all = new Uint8Array(size * parts.length);
  for (let at = 0; at < before; at++)
    parts.forEach((part, row) => all.set(part.subarray(at * inner, (at + 1) * inner), (at * parts.length + row) * inner));
  return [all, [...shape.slice(0, item.axis), parts.length, ...shape.slice(item.axis)]];
}

function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  return all;
}

// job: {count, inputs: [{name, type, axis, stepped, shape and bytes of an example}], outputs: [{name, axis}], batch, steps,
// state: {input: output}}; read(first, last): bytes of those examples, all inputs of one behind the other.
export async function answers(ort, model, job, threads, read, done) {
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  const parts = job.outputs.map(() => []), milliseconds = [], types = [], shapes = [];
  for (let first = 0; first < job.count; first += job.batch) {
    const last = Math.min(first + job.batch, job.count), count = last - first;
    const bytes = new Uint8Array(await read(first, last)), one = bytes.length / count;
    const rows = {};
    let start = 0;
    for (const item of job.inputs) {  // a fixed batch is filled up with its last example
      const from = start;
      rows[item.name] = Array.from({length: job.batch}, (_, row) => {
        const at = Math.min(row, count - 1) * one + from;
        return bytes.subarray(at, at + item.bytes);
      });
      start += item.bytes;
    }
    const steps = job.outputs.map(() => Array.from({length: count}, () => []));
    let state = {};
    for (let step = 0; step < job.steps; step++) {
      const feed = {};
      for (const item of job.inputs) {
        const [raw, dims] = placed(rows[item.name], item, step, job.steps);
        feed[item.name] = new ort.Tensor(item.type, new ARRAYS[item.type](raw.buffer), dims);
      }
      Object.assign(feed, state);
      const began = performance.now();
      const found = await session.run(feed);
      milliseconds.push(performance.now() - began);
      job.outputs.forEach((output, index) => {
        const answer = found[output.name], how = {batch: job.batch, axis: output.axis};
        const raw = new Uint8Array(answer.data.buffer, answer.data.byteOffset, answer.data.byteLength);
        const shape = shapeOfOne(answer.dims, how);
        types[index] = answer.type;
        if (shapes[index] && String(shapes[index]) !== String(shape))
          throw new Error(`output '${output.name}' has another shape for each example`);
        shapes[index] = shape;
        examples(raw, answer.dims, how, count).forEach((part, row) => steps[index][row].push(part));
      });
      state = Object.fromEntries(Object.entries(job.state).map(([input, output]) => [input, found[output]]));
    }
    steps.forEach((each, index) => each.forEach((row) => parts[index].push(joined(row))));
    if (last % 10 < job.batch || last === job.count) await done(last);
  }
  const stepped = Object.keys(job.state).length > 0;
  const wholes = parts.map(joined);
  const outputs = job.outputs.map((output, index) => ({
    name: output.name, type: types[index], bytes: wholes[index].length,
    shape: stepped ? [job.steps, ...shapes[index]] : shapes[index],
  }));
  const version = ort.env.versions?.web ?? "unknown";
  return {bytes: joined(wholes), said: {runtime: `onnxruntime-web ${version}`, outputs, milliseconds}};
}
