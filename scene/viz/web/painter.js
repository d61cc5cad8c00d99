const NEAREST = 0.2; // meters before the eye
const POINT = 0.05; // meters: the side of a point that is near enough to be seen larger than the smallest
const [SMALLEST, LARGEST] = [2, 6]; // pixels of the screen
const CLICKED = 8; // pixels of the screen: a point so far from a click is meant
const RADIUS = 9; // pixels of the screen
const RING = [
  [frame.ground, 5],
  ["#ffffff", 2],
];

/**
 * Paints points as squares, the nearest on top, into the pixels of a 2D canvas.
 *
 * A hundred thousand points take some milliseconds, and it works alike where WebGL is slow, blocked or absent.
 */
class Painter {
  constructor(canvas, points) {
    Object.assign(this, { canvas, points, pen: canvas.getContext("2d") });
    this.fit();
  }

  fit() {
    this.density = Math.min(window.devicePixelRatio || 1, 2);
    const width = Math.max(1, Math.round(this.canvas.clientWidth * this.density));
    const height = Math.max(1, Math.round(this.canvas.clientHeight * this.density));
    Object.assign(this.canvas, { width, height });
    this.image = this.pen.createImageData(width, height);
    this.pixels = new Uint32Array(this.image.data.buffer);
    this.depths = new Float32Array(width * height);
    this.owners = new Int32Array(width * height);
  }

  /** Points in their colors, lines, and a ring around one point; none where it is null. */
  paint(orbit, colors, lines, marked = null) {
    const { width, height } = this.canvas;
    const projection = orbit.projection(width, height);
    this.pixels.fill(GROUND);
    this.depths.fill(Infinity);
    this.owners.fill(-1);
    this.paintPoints(projection, colors, width, height);
    this.pen.putImageData(this.image, 0, 0);
    for (const { color, ends } of lines) this.paintLines(projection, color, ends);
    if (marked !== null) this.paintRing(projection, marked);
  }

  paintPoints({ eye, right, up, forward, focal, middle }, colors, width, height) {
    const { points, pixels, depths, owners } = this;
    const [[ex, ey, ez], [rx, ry, rz], [ux, uy, uz], [fx, fy, fz]] = [eye, right, up, forward];
    const [smallest, largest] = [SMALLEST * this.density, LARGEST * this.density];
    for (let i = 0, j = 0; i < colors.length; i++, j += 3) {
      const color = colors[i];
      if (color === 0) continue;
      const x = points[j] - ex;
      const y = points[j + 1] - ey;
      const z = points[j + 2] - ez;
      const depth = fx * x + fy * y + fz * z;
      if (depth < NEAREST) continue;
      const scale = focal / depth;
      const side = Math.round(Math.min(largest, Math.max(smallest, POINT * scale)));
      const left = Math.floor(middle[0] + scale * (rx * x + ry * y + rz * z) - side / 2);
      const top = Math.floor(middle[1] - scale * (ux * x + uy * y + uz * z) - side / 2);
      const bottom = Math.min(height, top + side);
      const first = Math.max(0, left);
      const last = Math.min(width, left + side);
      for (let row = Math.max(0, top); row < bottom; row++)
        for (let at = row * width + first; at < row * width + last; at++)
          if (depth < depths[at]) {
            depths[at] = depth;
            pixels[at] = color;
            owners[at] = i;
          }
    }
  }

  /** Line segments: x, y, z of one end, x, y, z of the other. Points hide no line. */
  paintLines(projection, color, ends) {
    const { pen } = this;
    pen.strokeStyle = color;
    pen.lineWidth = 1.2 * this.density;
    pen.beginPath();
    for (let i = 0; i < ends.length; i += 6) {
      const clipped = before(seen(projection, ends.slice(i, i + 3)), seen(projection, ends.slice(i + 3, i + 6)));
      if (clipped === null) continue;
      const [from, to] = clipped.map(([x, y, depth]) => [
        projection.middle[0] + (projection.focal * x) / depth,
        projection.middle[1] - (projection.focal * y) / depth,
      ]);
      pen.moveTo(...from);
      pen.lineTo(...to);
    }
    pen.stroke();
  }

  /** A ring that nothing hides, light on dark. */
  paintRing({ focal, middle, ...projection }, point) {
    const [x, y, depth] = seen(projection, Array.from(this.points.subarray(3 * point, 3 * point + 3)));
    if (depth < NEAREST) return;
    for (const [color, width] of RING) {
      this.pen.strokeStyle = color;
      this.pen.lineWidth = width * this.density;
      this.pen.beginPath();
      this.pen.arc(middle[0] + (focal * x) / depth, middle[1] - (focal * y) / depth, RADIUS * this.density, 0, 2 * Math.PI);
      this.pen.stroke();
    }
  }

  /** The point that was painted nearest to a place on the canvas, within some pixels of the screen; null for none. */
  pointAt(left, top) {
    const { width, height } = this.canvas;
    const [x, y, reach] = [left, top, CLICKED].map((pixels) => Math.round(pixels * this.density));
    let [point, nearest] = [null, reach * reach + 1];
    for (let row = Math.max(0, y - reach); row < Math.min(height, y + reach + 1); row++)
      for (let column = Math.max(0, x - reach); column < Math.min(width, x + reach + 1); column++) {
        const owner = this.owners[row * width + column];
        const away = (row - y) ** 2 + (column - x) ** 2;
        if (owner >= 0 && away < nearest) [point, nearest] = [owner, away];
      }
    return point;
  }
}

/** A point to the right of, above and before the eye. */
function seen({ eye, right, up, forward }, point) {
  const offset = point.map((value, i) => value - eye[i]);
  return [right, up, forward].map((axis) => axis[0] * offset[0] + axis[1] * offset[1] + axis[2] * offset[2]);
}

/** The part of a line that lies before the eye, or null. */
function before(from, to) {
  if (from[2] < NEAREST && to[2] < NEAREST) return null;
  const cut = (near, far) => near.map((value, i) => value + ((NEAREST - near[2]) / (far[2] - near[2])) * (far[i] - value));
  return [from[2] < NEAREST ? cut(from, to) : from, to[2] < NEAREST ? cut(to, from) : to];
}
