const STEEPEST = Math.PI / 2;
const HALF_VIEW = Math.tan((25 * Math.PI) / 180); // of the canvas' height, one meter before the eye

/** An eye that looks at a target from around it. z is up; at yaw 0 it looks along x. */
class Orbit {
  constructor(reach) {
    this.start = { target: [reach * 0.15, 0, -1], distance: reach * 1.3, yaw: 0, pitch: 0.6 };
    this.reset();
  }

  reset() {
    Object.assign(this, this.start, { target: [...this.start.target] });
  }

  turn(yaw, pitch) {
    this.yaw += yaw;
    this.pitch = Math.max(-STEEPEST, Math.min(STEEPEST, this.pitch + pitch));
  }

  zoom(factor) {
    this.distance = Math.max(0.5, Math.min(100 * this.start.distance, this.distance * factor));
  }

  /** Move the target, by parts of the canvas' height, so that the scene follows the hand. */
  shift(right, down) {
    const { right: r, up: u } = this.axes();
    const meters = 2 * HALF_VIEW * this.distance;
    for (let i = 0; i < 3; i++) this.target[i] += meters * (down * u[i] - right * r[i]);
  }

  axes() {
    const [cy, sy, cp, sp] = [Math.cos(this.yaw), Math.sin(this.yaw), Math.cos(this.pitch), Math.sin(this.pitch)];
    return { right: [sy, -cy, 0], up: [sp * cy, sp * sy, cp], forward: [cp * cy, cp * sy, -sp] };
  }

  /** What projects points on a canvas of some pixels: axes, the eye's position and the focal length. */
  projection(width, height) {
    const axes = this.axes();
    const eye = this.target.map((value, i) => value - this.distance * axes.forward[i]);
    return { ...axes, eye, focal: height / 2 / HALF_VIEW, middle: [width / 2, height / 2] };
  }
}
