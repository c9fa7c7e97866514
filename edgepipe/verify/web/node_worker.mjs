// node node_worker.mjs DIST MODEL JOB.json INPUTS.bin OUTPUTS.bin THREADS: prints progress, then one JSON line.
import {open, readFile, writeFile} from "node:fs/promises";
import {join} from "node:path";
import {pathToFileURL} from "node:url";
import {answers} from "./answers.mjs";

const [dist, model, jobFile, inputs, outputs, threads] = process.argv.slice(2);
const ort = await import(pathToFileURL(join(dist, "ort.node.min.mjs")).href);
const job = JSON.parse(await readFile(jobFile, "utf8"));
const stream = await open(inputs);
const read = async (first, last) => {
  const bytes = new Uint8Array((last - first) * job.bytes);
  await stream.read(bytes, 0, bytes.length, first * job.bytes);
  return bytes;
};
const found = await answers(ort, await readFile(model), job, Number(threads), read, (n) => console.log(n));
await writeFile(outputs, found.bytes);
console.log(JSON.stringify(found.said));
process.exit(0);  // the threads of the runtime would keep the process alive
