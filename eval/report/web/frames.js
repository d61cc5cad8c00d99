/** Pictures of frames, large, one below the other. */
function framesOf(frames) {
  const note = "Frames of the test split: the truth, and the answers of the network.";
  const pictures = frames.map(({ picture: number, label }) =>
    element("figure", { class: "frame" }, element("figcaption", {}, label), picture(number, `frame ${label}`)),
  );
  return figure("frames", "Answers", note, ...pictures);
}
