// Any number of classes: those from the threshold on, and the next best, as edgepipe/tasks/multilabel.py decides.
export function answered(outputs, settings, about) {
  const scores = Array.from(Object.values(outputs)[0].data, Number), named = (i) => about.classes[i] ?? `class ${i}`;
  const share = (score) => settings.probable ? score : 1 / (1 + Math.exp(-score));
  const order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]);
  const has = order.filter((i) => scores[i] >= settings.cut), few = has.slice(0, 3).map(named).join(", ");
  return {title: has.length ? few + (has.length > 3 ? ", …" : "") : "none", note: `${has.length} of ${scores.length} classes, from ` +
    `a probability of ${settings.threshold}`, bars: order.slice(0, Math.min(20, Math.max(5, has.length)))
    .map((i) => ({label: named(i), share: share(scores[i])}))};
}
