// One class of several: the best-scored ones as bars.
export function answered(outputs, settings, about) {
  const {data} = Object.values(outputs)[0], scores = Array.from(data, Number);
  const named = (i) => about.classes[i] ?? `class ${i}`;
  if (scores.length === 1) return {title: named(scores[0]), note: "the class that the model answers"};
  const top = Math.max(...scores), powers = settings.probabilities ? scores : scores.map((x) => Math.exp(x - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  const best = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a]).slice(0, 5);
  return {title: named(best[0]), bars: best.map((i) => ({label: named(i), share: powers[i] / sum}))};
}
