// From a recording to the network's input, as sound_features.py does it: sums in float64, handed over as float32.
const f = Math.fround, ZEROS = 16, MOST_SECONDS = 3600, MOST_RATE = 768000;
const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, to));

// [samples in [-1, 1] with the channels averaged, samples a second] of a .wav of plain numbers; null: it is none.
export function readWav(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 12 || text(bytes, 0, 4) !== "RIFF" || text(bytes, 8, 12) !== "WAVE") return null;
  let about = null;
  for (let at = 12; at + 8 <= bytes.length;) {
    const name = text(bytes, at, at + 4), size = view.getUint32(at + 4, true), start = at + 8;
    if (name === "fmt " && start + 16 <= bytes.length) {
      const wide = view.getUint16(start, true) === 0xfffe && start + 26 <= bytes.length;
      about = {kind: view.getUint16(wide ? start + 24 : start, true), channels: view.getUint16(start + 2, true),
        rate: view.getUint32(start + 4, true), width: (view.getUint16(start + 14, true) + 7) >> 3};
    }
    if (name === "data") return about && samplesOf(view, start, Math.min(size, bytes.length - start), about);
    at = start + size + size % 2;
  }
  return null;
}

function samplesOf(view, start, size, {kind, channels, rate, width}) {
  const read = {
    "1 1": (at) => (view.getUint8(at) - 128) / 128,
    "1 2": (at) => view.getInt16(at, true) / 32768,
    "1 3": (at) => (view.getUint16(at, true) + 65536 * view.getInt8(at + 2)) / 8388608,
    "1 4": (at) => view.getInt32(at, true) / 2147483648,
    "3 4": (at) => view.getFloat32(at, true),
    "3 8": (at) => view.getFloat64(at, true),
  }[`${kind} ${width}`];
  if (!read) return null;
  const count = Math.floor(size / (width * channels)), found = new Float32Array(checked(channels, rate, count));
  for (let i = 0, at = start; i < count; i++) {
    let sum = 0;
    for (let c = 0; c < channels; c++, at += width) sum += read(at);
    found[i] = sum / channels;
    if (!Number.isFinite(found[i])) throw new Error("This recording holds NaN or infinite samples.");
  }
  return [found, rate];
}

function checked(channels, rate, count) {
  if (!(rate > 0 && rate <= MOST_RATE && channels > 0 && channels <= 64))
    throw new Error(`This recording has ${channels} channels at ${rate} samples a second.`);
  if (count > MOST_SECONDS * rate) throw new Error(`This recording is longer than ${MOST_SECONDS} seconds: cut it.`);
  return count;
}

// Any file: a .wav of numbers to the bit, others through the browser's own decoder at the network's rate.
export async function soundOf(blob, how) {
  const bytes = new Uint8Array(await blob.arrayBuffer()), plain = readWav(bytes);
  if (plain) return plain;
  try {
    const buffer = await new OfflineAudioContext(1, 1, how.sample_rate).decodeAudioData(bytes.buffer);
    checked(buffer.numberOfChannels, buffer.sampleRate, buffer.length);
    const sum = new Float64Array(buffer.length);
    for (let c = 0; c < buffer.numberOfChannels; c++) buffer.getChannelData(c).forEach((value, i) => { sum[i] += value; });
    return [Float32Array.from(sum, (value) => value / buffer.numberOfChannels), buffer.sampleRate];
  } catch (error) {
    if (error instanceof DOMException) throw new Error("This browser reads no sound from that file. Save it as .wav.");
    throw error;
  }
}

// At another rate, through a sinc in a Hann window of 16 zero crossings.
export function resampled(samples, rate, wanted) {
  if (rate === wanted || !samples.length) return samples;
  const gcd = (a, b) => b ? gcd(b, a % b) : a, common = gcd(rate, wanted), down = rate / common, up = wanted / common;
  const cutoff = 0.97 * Math.min(1, up / down), reach = Math.ceil(ZEROS / cutoff), count = Math.ceil(samples.length * up / down);
  const padded = new Float64Array(samples.length + 2 * reach + down + 1), found = new Float32Array(count);
  padded.set(samples, reach);
  for (let phase = 0; phase < Math.min(up, count); phase++) {  // of outputs `phase`, `phase + up`, … the taps are the same
    const at = phase * down / up, first = Math.trunc(at) - reach, kernel = [];
    for (let tap = 0; tap <= 2 * reach; tap++) {
      const x = first + tap - at, angle = Math.PI * cutoff * x;
      const window = Math.abs(x) < reach ? 0.5 + 0.5 * Math.cos(Math.PI * x / reach) : 0;
      kernel.push(cutoff * (angle === 0 ? 1 : Math.sin(angle) / angle) * window);
    }
    for (let i = phase, start = Math.trunc(at); i < count; i += up, start += down) {
      let sum = 0;
      for (let tap = 0; tap < kernel.length; tap++) sum += kernel[tap] * padded[start + tap];
      found[i] = sum;
    }
  }
  return found;
}

// The middle of what is longer; what is shorter with as many zeros before it as behind.
export function fitted(samples, length) {
  const lacking = length - samples.length;
  if (lacking <= 0) return samples.slice(Math.floor(-lacking / 2), Math.floor(-lacking / 2) + length);
  const out = new Float32Array(length);
  out.set(samples, Math.floor(lacking / 2));
  return out;
}

// The samples of one example; of steps from the start.
export function part(samples, rate, how) {
  const found = resampled(samples, rate, how.sample_rate);
  if (!how.step) return fitted(found, how.samples);
  const out = new Float32Array(how.samples);
  out.set(found.subarray(0, how.samples));
  return out;
}

// Inputs by name, {data, dims}, of such samples.
export function inputsOf(samples, how) {
  const constants = Object.entries(how.constants).map(([name, value]) => [name, {data: Float64Array.of(value), dims: []}]);
  return {[constants.length ? how.input : ""]: prepared(samples, how), ...Object.fromEntries(constants)};
}

function prepared(samples, how) {
  if (how.step) return stepped(samples, how.step, how.context);
  let data, dims;
  if (how.features === "none") {
    const mean = f(how.mean), std = f(how.std);
    [data, dims] = [samples.map((value) => f(f(value - mean) / std)), [samples.length]];
  } else {
    const [values, frames] = logMel(samples, how), {n_mels: bands} = how, turned = how.axes !== "frames_mels";
    data = Float32Array.from(values, (_, i) => {
      const at = turned ? i % frames * bands + Math.floor(i / frames) : i;
      return (values[at] - how.mean) / how.std;
    });
    dims = turned ? [bands, frames] : [frames, bands];
  }
  return {data, dims: how.channel === "first" ? [1, ...dims] : how.channel === "last" ? [...dims, 1] : dims};
}

function stepped(samples, step, context) {
  const whole = new Float32Array(context + samples.length), count = Math.floor(samples.length / step), size = context + step;
  whole.set(samples, context);
  const data = new Float32Array(count * size);
  for (let i = 0; i < count; i++) data.set(whole.subarray(i * step, i * step + size), i * size);
  return {data, dims: [count, size]};
}

// [natural logarithm of the power in bands of the mel scale, frame after frame; how many frames]
function logMel(samples, how) {
  const {n_fft: size, hop} = how, half = size >> 1, values = how.center ? centred(samples, half) : Float64Array.from(samples);
  const frames = Math.max(0, Math.floor((values.length - size) / hop) + 1), bins = half + 1;
  const window = Float64Array.from({length: size}, (_, i) => 0.5 - 0.5 * Math.cos(2 * Math.PI * i / size));
  const bands = melBands(how.sample_rate, size, how.n_mels, how.fmin, how.fmax, how.mel_scale);
  const out = new Float64Array(frames * how.n_mels), transform = fft(size);
  for (let frame = 0; frame < frames; frame++) {
    const [re, im] = transform(window.map((value, i) => value * values[frame * hop + i]));
    bands.forEach((band, m) => {
      let sum = 0;
      for (let k = 0; k < bins; k++) if (band[k]) sum += (re[k] * re[k] + im[k] * im[k]) * band[k];
      out[frame * how.n_mels + m] = Math.log(sum + how.log_offset);
    });
  }
  return [out, frames];
}

// With half a frame mirrored at both ends, or zeros where there is too little to mirror.
function centred(samples, half) {
  const out = new Float64Array(samples.length + 2 * half), count = samples.length;
  out.set(samples, half);
  if (count > half) for (let i = 1; i <= half; i++) {
    out[half - i] = samples[i];
    out[half + count - 1 + i] = samples[count - 1 - i];
  }
  return out;
}

// The discrete Fourier transform of real values of this many, by its prime factors (Cooley and Tukey, 1965).
export function fft(size) {
  const cos = Float64Array.from({length: size}, (_, i) => Math.cos(2 * Math.PI * i / size));
  const sin = Float64Array.from({length: size}, (_, i) => -Math.sin(2 * Math.PI * i / size));
  const factor = (n) => { for (let p = 2; p * p <= n; p++) if (n % p === 0) return p; return n; };
  const run = (values, from, step, n) => {
    const re = new Float64Array(n), im = new Float64Array(n);
    if (n === 1) { re[0] = values[from]; return [re, im]; }
    const p = factor(n), m = n / p, parts = Array.from({length: p}, (_, r) => run(values, from + r * step, step * p, m));
    for (let k = 0; k < n; k++) for (let r = 0; r < p; r++) {
      const turn = r * k % n * (size / n), [a, b] = [parts[r][0][k % m], parts[r][1][k % m]];
      re[k] += a * cos[turn] - b * sin[turn];
      im[k] += a * sin[turn] + b * cos[turn];
    }
    return [re, im];
  };
  return (values) => run(values, 0, 1, size);
}

// Triangles, each from the middle of the one before to that of the next: a Float64Array of weights for each band.
function melBands(rate, size, bands, low, high, scale) {
  const first = toMel(low, scale), last = toMel(high, scale), bins = (size >> 1) + 1;
  const edges = Array.from({length: bands + 2}, (_, i) => toHertz(i === bands + 1 ? last : first + i * ((last - first) / (bands + 1)), scale));
  return Array.from({length: bands}, (_, m) => Float64Array.from({length: bins}, (_, k) => {
    const at = k * rate / size;
    const rise = (at - edges[m]) / Math.max(edges[m + 1] - edges[m], 1e-12);
    const fall = (edges[m + 2] - at) / Math.max(edges[m + 2] - edges[m + 1], 1e-12);
    return Math.max(0, Math.min(rise, fall)) * (scale === "slaney" ? 2 / (edges[m + 2] - edges[m]) : 1);
  }));
}
function toMel(hertz, scale) {
  if (scale === "htk") return 2595 * Math.log10(1 + hertz / 700);
  return hertz < 1000 ? hertz * 3 / 200 : 15 + 27 * Math.log(hertz / 1000) / Math.log(6.4);
}
function toHertz(mel, scale) {
  if (scale === "htk") return 700 * (10 ** (mel / 2595) - 1);
  return mel < 15 ? mel * 200 / 3 : 1000 * Math.exp(Math.log(6.4) / 27 * (mel - 15));
}
