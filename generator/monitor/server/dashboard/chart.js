// Tokens a second as an area; calls in flight and the concurrency limit as lines on a scale of their own.
const HALF_HOUR = 1800;

function drawChart(canvas, samples, colours) {
  const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = 190;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  const now = samples.length ? samples[samples.length - 1][0] : Date.now() / 1000;
  const begin = Math.max(now - HALF_HOUR, samples.length ? samples[0][0] : now - 60), left = 52, right = width - 44;
  const top = 10, floor = height - 22;
  const fast = nice(Math.max(1, ...samples.map((s) => s[1]))), many = nice(Math.max(1, ...samples.map((s) => Math.max(s[2], s[3]))));
  const x = (t) => left + ((t - begin) / Math.max(now - begin, 1)) * (right - left);
  const y = (value, most) => floor - (value / most) * (floor - top);

  pen.fillStyle = pen.strokeStyle = colours.line;
  for (const share of [0, 0.5, 1]) {
    pen.fillStyle = colours.line;
    pen.fillRect(left, y(share, 1), right - left, 1);
    pen.fillStyle = colours.dim;
    pen.textAlign = "right";
    pen.fillText(short(fast * share), left - 6, y(share, 1) + 4);
    pen.textAlign = "left";
    pen.fillText(short(many * share), right + 6, y(share, 1) + 4);
  }
  pen.textAlign = "center";
  for (let i = 0; i <= 4; i++) {
    const t = begin + ((now - begin) * i) / 4;
    pen.fillText(new Date(t * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }), x(t), height - 6);
  }
  if (samples.length < 2) return;
  const path = (index, most) => {
    pen.beginPath();
    samples.forEach((s, i) => (i ? pen.lineTo(x(s[0]), y(s[index], most)) : pen.moveTo(x(s[0]), y(s[index], most))));
  };
  path(1, fast);
  pen.lineTo(x(now), floor);
  pen.lineTo(x(samples[0][0]), floor);
  pen.fillStyle = colours.blue;
  pen.globalAlpha = 0.22;
  pen.fill();
  pen.globalAlpha = 1;
  for (const [index, most, colour, dash] of [[1, fast, colours.blue, []], [2, many, colours.green, []], [3, many, colours.purple, [5, 4]]]) {
    path(index, most);
    pen.setLineDash(dash);
    pen.strokeStyle = colour;
    pen.lineWidth = 1.6;
    pen.stroke();
  }
  pen.setLineDash([]);
}

function nice(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value);
}

function short(value) {
  return value >= 1e6 ? +(value / 1e6).toPrecision(3) + "M" : value >= 1e4 ? +(value / 1e3).toPrecision(3) + "k" : String(+value.toPrecision(3));
}
