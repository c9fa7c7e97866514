// A text by CTC: as edgepipe/tasks/ctc_text.py writes it.
export function textOf({data, dims}, {table, turned, space, ignore_space: ignored}) {
  const [steps, classes] = turned ? [dims[1], dims[0]] : dims;
  const at = turned ? (step, of) => data[of * steps + step] : (step, of) => data[step * classes + of];
  let text = "", before = -1;
  for (let step = 0; step < steps; step++) {
    let best = 0;
    for (let of = 1; of < classes; of++) if (at(step, of) > at(step, best)) best = of;
    if (best !== before) text += table[best];
    before = best;
  }
  if (space !== null) text = text.replaceAll(space, " ");
  return ignored ? text.replaceAll(" ", "") : text.replace(/^ +| +$/g, "");
}

export function answered(outputs, settings) {
  const text = textOf(Object.values(outputs)[0], settings);
  return {title: "", text: text || "(no text)", note: `${Array.from(text).length} letters`};
}
