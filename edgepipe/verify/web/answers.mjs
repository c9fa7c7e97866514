// A model's answers to a job's inputs in onnxruntime-web; used in Node and in the page alike.

const ARRAYS = {
  float32: Float32Array, float64: Float64Array, float16: Uint16Array,
  uint8: Uint8Array, int8: Int8Array, int32: Int32Array, int64: BigInt64Array,
};

// The bytes of each of the first `count` examples of an answer.
export function examples(raw, dims, job, count) {
  if (job.batch === 1) return [raw.slice()];
  const before = dims.slice(0, job.axis).reduce((all, size) => all * size, 1);
  const inner = raw.length / before / job.batch;
  return Array.from({length: count}, (_, row) => {
    const one = new Uint8Array(before * inner);
    for (let at = 0; at < before; at++) {
      const from = (at * job.batch + row) * inner;
      one.set(raw.subarray(from, from + inner), at * inner);
    }
    return one;
  });
}

// job: {count, shape (of one example), type, batch, axis (of the answer, that counts examples)}; read(first, last): bytes of those examples.
export async function answers(ort, model, job, threads, read, done) {
  ort.env.wasm.numThreads = threads;
  ort.env.logLevel = "error";
  const session = await ort.InferenceSession.create(model, {executionProviders: ["wasm"]});
  const input = session.inputNames[0], output = session.outputNames[0];
  const parts = [], milliseconds = [];
  let type = "float32";
  for (let first = 0; first < job.count; first += job.batch) {
    const last = Math.min(first + job.batch, job.count);
    const bytes = new Uint8Array(await read(first, last));
    const one = bytes.length / (last - first);
    const fed = new Uint8Array(one * job.batch);  // a fixed batch is filled up with its last example
    for (let row = 0; row < job.batch; row++) {
      const from = Math.min(row, last - first - 1);
      fed.set(bytes.subarray(from * one, (from + 1) * one), row * one);
    }
    const tensor = new ort.Tensor(job.type, new ARRAYS[job.type](fed.buffer), [job.batch, ...job.shape]);
    const began = performance.now();
    const answer = (await session.run({[input]: tensor}))[output];
    milliseconds.push(performance.now() - began);
    type = answer.type;
    const raw = new Uint8Array(answer.data.buffer, answer.data.byteOffset, answer.data.byteLength);
    parts.push(...examples(raw, answer.dims, job, last - first));
    if (last % 10 < job.batch || last === job.count) await done(last);
  }
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { all.set(part, at); at += part.length; }
  const version = ort.env.versions?.web ?? "unknown";
  return {bytes: all, said: {runtime: `onnxruntime-web ${version}`, type, milliseconds}};
}
