// One score of an example, or of each of its frames: as edgepipe/tasks/scores.py reads it.
export function scoresOf({data, dims}, {column, pool}) {
  let values = Array.from(data, Number);
  if (column !== null) {
    const width = dims.at(-1), of = column < 0 ? column + width : column;
    values = values.filter((_, i) => i % width === of);
  }
  if (pool === "max") return [values.reduce((most, value) => Math.max(most, value), -Infinity)];
  return pool === "mean" ? [values.reduce((sum, value) => sum + value, 0) / values.length] : values;
}

export function answered(outputs, settings) {
  const values = scoresOf(Object.values(outputs)[0], settings), {cut, probable} = settings;
  const shown = (value) => Number(value.toPrecision(4)).toString(), note = `yes from a score of ${shown(cut)}`;
  const yes = values.filter((value) => value >= cut).length;
  if (values.length === 1)
    return {title: yes ? "yes" : "no", note, rows: [["score", shown(values[0])]],
      ...(probable ? {bars: [{label: "score", share: values[0]}], rows: []} : {})};
  const [low, high] = [Math.min(...values, ...(probable ? [0] : [])), Math.max(...values, ...(probable ? [1] : []))];
  return {title: yes ? `yes in ${(100 * yes / values.length).toFixed(0)}%` : "no", series: {values, low, high, cut},
    note: `${yes} of ${values.length} frames; ${note}`};
}
