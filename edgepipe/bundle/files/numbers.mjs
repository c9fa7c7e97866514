// The plain answer, of tasks without a page of their own: every output as numbers.
export function answered(outputs) {
  const text = (value) => Number(Number(value).toPrecision(6)).toString();
  const rows = Object.entries(outputs).map(([name, {data, dims}]) => {
    const more = data.length > 8 ? ` … (${data.length} values)` : "";
    return [`${name} [${dims.join(", ")}]`, Array.from(data.slice(0, 8), text).join(", ") + more];
  });
  const single = rows.length === 1 && Object.values(outputs)[0].data.length === 1;
  return {title: single ? rows[0][1] : "", note: "This task has no picture of its answers: these are the model's outputs.", rows};
}
