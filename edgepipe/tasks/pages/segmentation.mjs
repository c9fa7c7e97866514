// A class for every pixel: as edgepipe/tasks/segmentation.py decides it.
import {mapsOf, resized} from "./maps.mjs";

// [classes (Int32Array), height, width], at the size of the input for scores.
export function classesOf(outputs, settings) {
  const output = settings.output === null ? Object.values(outputs)[0] : outputs[settings.output];
  if (!output) throw new Error(`The model gives no output ${settings.output}, which its classes are read from.`);
  if (settings.classes) {  // the model says the classes itself
    const dims = output.dims.length < 3 ? output.dims : output.dims[0] === 1 ? output.dims.slice(1) : output.dims.slice(0, 2);
    return [Int32Array.from(output.data, Number), ...dims];
  }
  const [maps, h, w] = mapsOf(output, settings.last), [height, width] = settings.size ?? [h, w];
  const best = new Float32Array(height * width).fill(-Infinity), found = new Int32Array(height * width);
  if (maps.length === 1)
    return [Int32Array.from(resized(maps[0], h, w, height, width), (value) => Number(value >= settings.cut)), height, width];
  maps.forEach((map, of) => resized(map, h, w, height, width).forEach((value, i) => {
    if (value > best[i]) { best[i] = value; found[i] = of; }
  }));
  return [found, height, width];
}

export function answered(outputs, settings, about) {
  const [classes, height, width] = classesOf(outputs, settings);
  const names = [];
  for (const of of new Set(classes)) names[of] = about.classes[of] ?? `class ${of}`;
  return {title: "", note: "pixels of each class; uncheck one to see what lies under it", mask: {classes, height, width, names}};
}
