// A picture that comes out: as edgepipe/tasks/image.py reads it, with depths from the nearest to the farthest as grey.
export function answered(outputs, settings) {
  const output = settings.output === null ? Object.values(outputs)[0] : outputs[settings.output];
  if (!output) throw new Error(`The model gives no output ${settings.output}, which its picture is read from.`);
  const flat = output.dims.length === 2, dims = flat ? [1, ...output.dims] : output.dims;
  const last = ![1, 3].includes(dims[0]) && [1, 3].includes(dims[2]);
  const [channels, height, width] = last ? [dims[2], dims[0], dims[1]] : dims, area = height * width, {data} = output;
  const depth = settings.kind === "depth";
  let low = 0, high = settings.value_range;
  if (depth) {
    low = data.reduce((least, value) => Math.min(least, value), Infinity);
    high = data.reduce((most, value) => Math.max(most, value), -Infinity);
  }
  const pixels = new Uint8ClampedArray(4 * area).fill(255), span = high - low || 1;
  const shown = Math.min(channels, 3), turned = settings.order === "bgr" && channels === 3;
  for (let i = 0; i < area; i++) for (let c = 0; c < 3; c++) {
    const of = Math.min(turned ? 2 - c : c, shown - 1), value = data[last ? i * channels + of : of * area + i];
    pixels[4 * i + c] = 255 * (value - low) / span;  // rounded and cut off by the array
  }
  const text = (value) => Number(value.toPrecision(4)).toString();
  const more = channels > 3 ? `the first 3 of ${channels} channels` : channels === 2 ? "the first of 2 channels" : "";
  return {title: "", note: depth ? `black ${text(low)}, white ${text(high)}` : more, picture: {pixels, height, width}};
}
