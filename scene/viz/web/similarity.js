const LEFT_OUT = 0.01; // of the points: those least alike, which must not set the ramp's range
const SPREAD = 0.001; // that the ramp's range has at least

/** Colors by the cosine of each point's feature to that of a chosen point. */
class Similarity {
  constructor(content) {
    Object.assign(this, content, { features: decoded(content.features, Int8Array) });
    this.count = this.features.length / this.dimensions;
    this.lengths = Float64Array.from({ length: this.count }, (_, i) => Math.sqrt(this.dot(i, i)));
    this.choose(content.chosen);
  }

  dot(i, j) {
    const { features, dimensions } = this;
    let sum = 0;
    for (let k = 0; k < dimensions; k++) sum += features[i * dimensions + k] * features[j * dimensions + k];
    return sum;
  }

  /** The cosine of two points' features; 0 where one has no length. */
  cosine(i, j) {
    const lengths = this.lengths[i] * this.lengths[j];
    return lengths > 0 ? this.dot(i, j) / lengths : 0;
  }

  choose(point) {
    this.chosen = point;
    const cosines = Float64Array.from({ length: this.count }, (_, i) => this.cosine(i, point));
    const low = Math.min(quantile(cosines, LEFT_OUT), 1 - SPREAD);
    this.limits = [low, 1];
    this.pixels = Uint32Array.from(cosines, (cosine) => RAMP[placeOf((cosine - low) / (1 - low))]);
  }
}

/** The place on the ramp of a share. */
function placeOf(share) {
  return Math.round(255 * Math.max(0, Math.min(1, share)));
}

/** The value below which a share of some numbers lies, between the two nearest in proportion. */
function quantile(numbers, share) {
  const sorted = numbers.slice().sort();
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (at - below) * (sorted[above] - sorted[below]);
}
