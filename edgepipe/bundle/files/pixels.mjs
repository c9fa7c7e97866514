// From a picture's file to pixels, as edgepipe reads them: one rule for training, example.py and the page.
const MAX_PIXELS = 89478485;

const MAGIC = [["JPEG", 0, "\xff\xd8\xff"], ["PNG", 0, "\x89PNG\r\n\x1a\n"], ["GIF", 0, "GIF87a"], ["GIF", 0, "GIF89a"],
  ["BMP", 0, "BM"], ["WEBP", 8, "WEBP"], ["AVIF", 4, "ftypavif"], ["AVIF", 4, "ftypavis"]];
const text = (bytes, from, to) => String.fromCharCode(...bytes.subarray(from, Math.min(to, bytes.length)));

// [kind, first byte, byte behind the last] of what may say how the camera was held, and of JPEG's frame header.
function* segments(bytes, view, format) {
  if (format === "JPEG") {
    for (let at = 2; at + 4 <= bytes.length && bytes[at] === 255;) {
      const marker = bytes[at + 1], end = at + 2 + view.getUint16(at + 2);
      if (marker === 255) { at++; continue; }
      if (marker === 0xda || marker === 0xd9) return;
      if (marker === 0xe1) yield [text(bytes, at + 4, at + 10) === "Exif\0\0" ? "exif" : "xmp", at + 4, end];
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) yield ["frame", at + 4, end];
      at = end;
    }
  } else if (format === "PNG") {
    for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
      const name = text(bytes, at + 4, at + 8), end = at + 8 + view.getUint32(at);
      if (name === "eXIf") yield ["exif", at + 8, end];
      if (name === "iTXt" && text(bytes, at + 8, at + 25) === "XML:com.adobe.xmp") yield ["xmp", at + 8, end];
    }
  } else if (format === "WEBP") {
    for (let at = 12; at + 8 <= bytes.length;) {
      const name = text(bytes, at, at + 4), size = view.getUint32(at + 4, true);
      if (name === "EXIF") yield ["exif", at + 8, at + 8 + size];
      if (name === "XMP ") yield ["xmp", at + 8, at + 8 + size];
      at += 8 + size + size % 2;
    }
  }
}

// Where the EXIF block at `from` keeps the orientation: [byte of its entry, value or null]; null: nowhere.
const KINDS = {3: [2, "Uint16"], 4: [4, "Uint32"], 6: [1, "Int8"], 8: [2, "Int16"], 9: [4, "Int32"]};
function orientationEntry(bytes, view, from, to) {
  const base = text(bytes, from, from + 6) === "Exif\0\0" ? from + 6 : from, little = bytes[base] === 0x49;
  if (!["II*\0", "MM\0*"].includes(text(bytes, base, base + 4))) return null;
  const first = base + view.getUint32(base + 4, little), count = view.getUint16(first, little);
  for (let entry = first + 2; entry < first + 2 + 12 * count && entry + 12 <= to; entry += 12) {
    if (view.getUint16(entry, little) !== 0x0112) continue;
    const [size, read] = KINDS[view.getUint16(entry + 2, little)] ?? [5, ""], count = view.getUint32(entry + 4, little);
    return [entry, count > 0 && count * size <= 4 ? view[`get${read}`](entry + 8, little) : null];
  }
  return null;
}

// What a file says of itself: its format, the orientation of EXIF (1 to 8), and bytes without that orientation, so that
// every browser decodes them as they lie. Throws where the page could not answer as training does, and says why.
export function inspect(file) {
  const bytes = file.slice(), view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const format = MAGIC.find(([, at, magic]) => text(bytes, at, at + magic.length) === magic)?.[0];
  if (!format) throw new Error("This is no JPEG, PNG, GIF, BMP, WebP or AVIF. example.py reads TIFF, PPM and DIB too.");
  if (format === "PNG" && bytes[24] === 16 && bytes[25] === 0)
    throw new Error("This picture's pixels hold more than 8 bits. Save it as 8-bit grey or RGB.");
  let orientation = null, xmp = null, cut = null;
  try {
    for (const [kind, from, to] of segments(bytes, view, format)) {
      if (kind === "frame" && bytes[from + 5] === 4)
        throw new Error("Browsers turn the CMYK of this picture into RGB each in its own way. Save it as RGB, or use example.py.");
      const found = kind === "exif" && orientation === null ? orientationEntry(bytes, view, from, to) : null;
      if (found) {
        orientation = found[1];
        view.setUint16(found[0], 0);  // no tag of that number: nothing is turned twice
        if (format === "PNG") cut = [from - 8, to + 4];  // its checksum no longer holds
      }
      if (kind === "xmp") xmp ??= /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(bytes.subarray(from, to)));
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;  // damaged EXIF says nothing
  }
  orientation ??= xmp ? Number(xmp[1]) : 1;
  if (!(orientation >= 1 && orientation <= 8)) orientation = 1;
  return {format, orientation, parts: cut ? [bytes.subarray(0, cut[0]), bytes.subarray(cut[1])] : [bytes]};
}

// Pixels as the camera was held: Uint8Array (height, width, channels), with the new width and height.
export function upright(pixels, width, height, channels, orientation) {
  if (orientation === 1) return [pixels, width, height];
  const across = orientation >= 5, left = [2, 3, 7, 8].includes(orientation), up = [3, 4, 6, 7].includes(orientation);
  const [toWidth, toHeight] = across ? [height, width] : [width, height];
  const out = new Uint8Array(pixels.length);
  for (let y = 0, j = 0; y < toHeight; y++) for (let x = 0; x < toWidth; x++) {
    let [sx, sy] = across ? [y, x] : [x, y];
    if (left) sx = width - 1 - sx;
    if (up) sy = height - 1 - sy;
    for (let c = 0, i = (sy * width + sx) * channels; c < channels; c++) out[j++] = pixels[i++];
  }
  return [out, toWidth, toHeight];
}

// Resizing exactly as Pillow does it, so that the answer is the one of training and of the device.
function weights(from, to, filter, support) {
  const scale = from / to, stretch = Math.max(scale, 1), narrow = 1 / stretch, reach = support * stretch, rows = [];
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5));
    const last = Math.min(from, Math.trunc(centre + reach + 0.5));
    const row = [];
    for (let x = first; x < last; x++) row.push(filter((x - centre + 0.5) * narrow));
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
// Added up and not multiplied, as Pillow does: where a pixel's middle falls on an edge, the last bit says which is taken.
const nearest = (from, to) => {
  const found = [], step = from / to;
  for (let i = 0, at = step * 0.5; i < to; i++, at += step) found.push(Math.min(from - 1, Math.trunc(at)));
  return found;
};
const byte = (sum) => Math.min(255, Math.max(0, Math.floor((sum + 2097152) / 4194304)));

export function resize(pixels, width, height, channels, toWidth, toHeight, how) {
  if (width === toWidth && height === toHeight) return pixels;
  if (how === "nearest") {
    const out = new Uint8Array(toWidth * toHeight * channels);
    const columns = nearest(width, toWidth), rows = nearest(height, toHeight);
    for (let y = 0; y < toHeight; y++) for (let x = 0; x < toWidth; x++) {
      const sx = columns[x], sy = rows[y];
      for (let c = 0; c < channels; c++) out[(y * toWidth + x) * channels + c] = pixels[(sy * width + sx) * channels + c];
    }
    return out;
  }
  const [filter, support] = how === "bicubic" ? [bicubic, 2] : [bilinear, 1];
  const narrower = (from) => {
    if (width === toWidth) return from;
    const across = weights(width, toWidth, filter, support), high = from.length / (width * channels);
    const to = new Uint8Array(toWidth * high * channels);
    for (let y = 0; y < high; y++) for (let x = 0; x < toWidth; x++) for (let c = 0; c < channels; c++) {
      const [first, row] = across[x];
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += row[k] * from[(y * width + first + k) * channels + c];
      to[(y * toWidth + x) * channels + c] = byte(sum);
    }
    return to;
  };
  const lower = (from) => {
    if (height === toHeight) return from;
    const down = weights(height, toHeight, filter, support), line = from.length / height;
    const to = new Uint8Array(line * toHeight);
    for (let y = 0; y < toHeight; y++) for (let x = 0; x < line; x++) {
      const [first, row] = down[y];
      let sum = 0;
      for (let k = 0; k < row.length; k++) sum += row[k] * from[(first + k) * line + x];
      to[y * line + x] = byte(sum);
    }
    return to;
  };
  // Each pass rounds to bytes, so the order shows. Pillow 13 begins with what takes away far more; before it did not.
  const taken = height - toHeight;
  return taken > 0 && taken > 2 * (width - toWidth) ? narrower(lower(pixels)) : lower(narrower(pixels));
}

// Where a picture lies in the input: [its new width, its new height, left, top of its first pixel].
const LINE_STEP = 32, LONGEST_LINE = 128;
const isLine = (how) => how.fit === "line" || how.fit === "line_free";
const halfToEven = (rest) => { const half = Math.floor(rest / 2); return half + (rest % 2 && half % 2 ? 1 : 0); };
export function placement(width, height, how) {
  let [high, wide] = how.image_size;
  const fit = how.fit ?? "stretch";
  if (isLine(how)) {
    const most = fit === "line" ? wide : LONGEST_LINE * high;
    return [Math.min(most, Math.max(1, Math.floor((2 * width * high + height) / (2 * height)))), high, 0, 0];
  }
  if (fit === "stretch" || (width === wide && height === high)) return [wide, high, 0, 0];
  if (fit === "crop") {
    wide = Math.floor(wide / how.crop_share); high = Math.floor(high / how.crop_share);
    const [w, h] = wide * height >= high * width ? [wide, Math.floor(height * wide / width)] : [Math.floor(width * high / height), high];
    return [w, h, -halfToEven(w - how.image_size[1]), -halfToEven(h - how.image_size[0])];
  }
  const [w, h] = wide * height <= high * width
    ? [wide, Math.max(1, Math.floor((2 * height * wide + width) / (2 * width)))]
    : [Math.max(1, Math.floor((2 * width * high + height) / (2 * height))), high];
  return fit === "letterbox" ? [w, h, Math.floor((wide - w) / 2), Math.floor((high - h) / 2)] : [w, h, 0, 0];
}

// Upright pixels resized and placed: Uint8Array (height, width, channels) of the input's size, in the network's order; of
// a line what it takes of it.
export function framed(pixels, width, height, channels, how) {
  const [w, h, left, top] = placement(width, height, how), [high, wide] = isLine(how) ? [h, w] : how.image_size;
  if (w * h > MAX_PIXELS) throw new Error(`Resized these are ${w}x${h} pixels: more than ${MAX_PIXELS}. Cut the picture.`);
  const resized = resize(pixels, width, height, channels, w, h, how.interpolation), turned = how.order === "bgr";
  if (w === wide && h === high && !turned) return resized;
  const out = new Uint8Array(wide * high * channels).fill(how.fill ?? 114);
  for (let y = Math.max(0, top); y < Math.min(high, top + h); y++) for (let x = Math.max(0, left); x < Math.min(wide, left + w); x++)
    for (let c = 0; c < channels; c++)
      out[(y * wide + x) * channels + (turned ? channels - 1 - c : c)] = resized[((y - top) * w + x - left) * channels + c];
  return out;
}

// The input's numbers, (channels, height, width), of such pixels.
export function normalized(pixels, channels, how) {
  const f = Math.fround, size = pixels.length / channels, out = new Float32Array(pixels.length);
  const divisor = f(1 / (how.scale ?? 1 / 255));
  for (let c = 0; c < channels; c++) {
    const mean = f(how.mean[c]), std = f(how.std[c]);
    for (let i = 0; i < size; i++) out[c * size + i] = f(f(f(pixels[i * channels + c] / divisor) - mean) / std);
  }
  return out;
}

// The network's input, {data, dims: [channels, height, width]}: what a line leaves free is 0.
export function prepared(pixels, width, height, channels, how) {
  const found = normalized(framed(pixels, width, height, channels, how), channels, how), high = how.image_size[0];
  const wide = found.length / (channels * high);
  let all = how.image_size[1];
  if (wide === all) return {data: found, dims: [channels, high, wide]};
  if (how.fit === "line_free" && wide > all) all = Math.ceil(wide / LINE_STEP) * LINE_STEP;
  const data = new Float32Array(channels * high * all);
  for (let row = 0; row < channels * high; row++) data.set(found.subarray(row * wide, (row + 1) * wide), row * all);
  return {data, dims: [channels, high, all]};
}

// RGBA of a picture as its file has it. A canvas keeps no colour of what is wholly transparent, and rounds what is partly:
// where there is any, the colours that training saw are read back from a texture, which keeps them.
function rgbaOf(picture, format) {
  const {width, height} = picture;
  const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  context.drawImage(picture, 0, 0);
  const rgba = context.getImageData(0, 0, width, height).data;
  if (!rgba.some((value, i) => i % 4 === 3 && value !== 255)) return rgba;
  const gl = format === "GIF" ? null : new OffscreenCanvas(1, 1).getContext("webgl");  // of a GIF they are black from the start
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE))
    throw new Error("This browser cannot read the colours of transparent parts. Save the picture without transparency.");
  gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, picture);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, gl.getParameter(gl.TEXTURE_BINDING_2D), 0);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  return rgba;
}

// A model that takes whole numbers gets the pixels themselves: the bundle's `std` makes 0 to 255 of them, or a hair more.
export function typed(values, type) {
  const whole = {uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array, int32: Int32Array, uint32: Uint32Array}[type];
  const large = {int64: BigInt64Array, uint64: BigUint64Array}[type];
  if (large) return large.from(values, (x) => BigInt(Math.round(x)));
  return whole ? whole.from(values, Math.round) : values;
}

// Pixels of a picture's file, upright: [Uint8Array (height, width, channels), width, height].
export async function pixelsOf(blob, channels) {
  const {format, orientation, parts} = inspect(new Uint8Array(await blob.arrayBuffer()));
  const how = {colorSpaceConversion: "none", premultiplyAlpha: "none", imageOrientation: "from-image"};
  const picture = await createImageBitmap(new Blob(parts), how), {width, height} = picture;
  if (width * height > MAX_PIXELS) throw new Error(`${width}x${height} pixels: more than ${MAX_PIXELS}. Shrink the picture.`);
  const rgba = rgbaOf(picture, format);
  const pixels = new Uint8Array(width * height * channels);
  for (let i = 0, j = 0; i < rgba.length; i += 4) {
    if (channels === 3) { pixels[j++] = rgba[i]; pixels[j++] = rgba[i + 1]; pixels[j++] = rgba[i + 2]; }
    else pixels[j++] = (rgba[i] * 19595 + rgba[i + 1] * 38470 + rgba[i + 2] * 7471 + 32768) >> 16;
  }
  return upright(pixels, width, height, channels, orientation);
}
