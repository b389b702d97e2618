/** Prometheus text → a map from `name{labels}` to a number. */
export function readMetrics(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-z_]\w*(?:\{[^}]*\})?) (\S+)/i.exec(line);
    if (match) samples.set(match[1], Number(match[2]));
  }
  return samples;
}

/** The Trunkline samples that match `pattern` and grew. */
export function counterMoved(before, after, pattern = /./) {
  return [...after].filter(([name, value]) => {
    return name.startsWith("trunkline_") && pattern.test(name) && value > (before.get(name) ?? 0);
  });
}
