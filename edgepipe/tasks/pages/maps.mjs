// Maps at another size, as edgepipe/tasks/maps.py has it, in float32 like there.
const f = Math.fround;

// Of each new place along an axis the two old ones that it lies between, and the share of the second.
function between(old, length) {
  const step = f(old / length), found = [];
  for (let i = 0; i < length; i++) {
    const at = Math.max(0, f(f(f(i + 0.5) * step) - 0.5)), low = Math.min(Math.trunc(at), old - 1);
    found.push([low, Math.min(low + 1, old - 1), f(at - low)]);
  }
  return found;
}

// A map, Float32Array (height, width), at another size.
export function resized(map, height, width, toHeight, toWidth) {
  if (height !== toHeight) {
    const out = new Float32Array(toHeight * width);
    between(height, toHeight).forEach(([low, high, share], y) => {
      for (let x = 0; x < width; x++)
        out[y * width + x] = f(map[low * width + x] * f(1 - share)) + f(map[high * width + x] * share);
    });
    map = out;
  }
  if (width === toWidth) return map;
  const out = new Float32Array(toHeight * toWidth), across = between(width, toWidth);
  for (let y = 0, j = 0; y < toHeight; y++) for (const [low, high, share] of across)
    out[j++] = f(map[y * width + low] * f(1 - share)) + f(map[y * width + high] * share);
  return out;
}

// [maps, height, width] of an output (channels, h, w), (h, w, channels) or (h, w): each map a Float32Array.
export function mapsOf({data, dims}, last) {
  if (dims.length === 2) return [[Float32Array.from(data)], ...dims];
  const [count, height, width] = last ? [dims[2], dims[0], dims[1]] : dims, area = height * width;
  const at = last ? (i, c) => i * count + c : (i, c) => c * area + i;
  return [Array.from({length: count}, (_, c) => Float32Array.from({length: area}, (_, i) => data[at(i, c)])), height, width];
}
