// Tokens a second as an area; calls in flight and the concurrency limit as lines on a scale of
// their own. A sample is [epoch seconds, tokens a second, calls in flight, limit, done samples].
const HALF_HOUR_SECONDS = 1800;
const CHART_HEIGHT = 190;
const CHART_MARGIN = { left: 52, right: 44, top: 10, bottom: 22 };
const TICK_STEPS_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800];
const TICK_PIXELS = 80; // the room that one label of the time axis takes
const SCALE_STEPS = [1, 1.5, 2, 3, 4, 5, 6, 8, 10];

function drawChart(canvas, samples, colours) {
  const scales = chartScales(canvas.clientWidth, samples);
  const pen = sharpPen(canvas);
  drawValueAxes(pen, scales, colours);
  drawTimeAxis(pen, scales, colours);
  if (samples.length < 2) return;
  drawArea(pen, scales, samples, colours.blue);
  drawLine(pen, scales, samples, { index: 1, top: scales.topRate, colour: colours.blue });
  drawLine(pen, scales, samples, { index: 2, top: scales.topCalls, colour: colours.green });
  const limit = { index: 3, top: scales.topCalls, colour: colours.purple, dash: [5, 4] };
  drawLine(pen, scales, samples, limit);
}

// A context whose unit is a CSS pixel, also on a screen with more device pixels.
function sharpPen(canvas) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = CHART_HEIGHT * ratio;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  pen.font = "11px system-ui, sans-serif";
  return pen;
}

function chartScales(width, samples) {
  const left = CHART_MARGIN.left;
  const right = width - CHART_MARGIN.right;
  const floor = CHART_HEIGHT - CHART_MARGIN.bottom;
  const newest = samples.length ? samples[samples.length - 1][0] : Date.now() / 1000;
  const oldest = samples.length ? samples[0][0] : newest - 60;
  const begin = Math.max(newest - HALF_HOUR_SECONDS, oldest);
  const end = Math.max(newest, begin + 1);
  const rates = samples.map((sample) => sample[1]);
  const calls = samples.map((sample) => Math.max(sample[2], sample[3]));
  return {
    left,
    right,
    floor,
    begin,
    end,
    topRate: roundUp(Math.max(1, ...rates)),
    topCalls: roundUp(Math.max(1, ...calls)),
    x: (time) => left + ((time - begin) / (end - begin)) * (right - left),
    y: (value, top) => floor - (value / top) * (floor - CHART_MARGIN.top),
  };
}

function drawValueAxes(pen, scales, colours) {
  for (const share of [0, 0.5, 1]) {
    const y = scales.y(share, 1);
    pen.fillStyle = colours.line;
    pen.fillRect(scales.left, y, scales.right - scales.left, 1);
    pen.fillStyle = colours.dim;
    pen.textAlign = "right";
    pen.fillText(formatShort(scales.topRate * share), scales.left - 6, y + 4);
    pen.textAlign = "left";
    pen.fillText(formatShort(scales.topCalls * share), scales.right + 6, y + 4);
  }
}

function drawTimeAxis(pen, scales, colours) {
  pen.fillStyle = colours.dim;
  pen.textAlign = "center";
  for (const tick of timeTicks(scales.begin, scales.end, scales.right - scales.left)) {
    pen.fillText(tick.label, scales.x(tick.time), CHART_HEIGHT - 6);
  }
}

// Round moments between two times (epoch seconds) whose labels differ and fit into the width.
function timeTicks(begin, end, width) {
  const finest = (TICK_PIXELS / width) * (end - begin);
  const coarsest = TICK_STEPS_SECONDS[TICK_STEPS_SECONDS.length - 1];
  const step = TICK_STEPS_SECONDS.find((seconds) => seconds >= finest) || coarsest;
  const format = { hour: "2-digit", minute: "2-digit" };
  if (step < 60) format.second = "2-digit";
  const ticks = [];
  for (let time = Math.ceil(begin / step) * step; time <= end; time += step) {
    ticks.push({ time, label: new Date(time * 1000).toLocaleTimeString([], format) });
  }
  return ticks;
}

function tracePath(pen, scales, samples, index, top) {
  pen.beginPath();
  for (const sample of samples) pen.lineTo(scales.x(sample[0]), scales.y(sample[index], top));
}

function drawArea(pen, scales, samples, colour) {
  tracePath(pen, scales, samples, 1, scales.topRate);
  pen.lineTo(scales.x(samples[samples.length - 1][0]), scales.floor);
  pen.lineTo(scales.x(samples[0][0]), scales.floor);
  pen.fillStyle = colour;
  pen.globalAlpha = 0.22;
  pen.fill();
  pen.globalAlpha = 1;
}

function drawLine(pen, scales, samples, { index, top, colour, dash = [] }) {
  tracePath(pen, scales, samples, index, top);
  pen.setLineDash(dash);
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  pen.stroke();
  pen.setLineDash([]);
}

// The next round number: 130 -> 150
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return power * SCALE_STEPS.find((step) => step * power >= value);
}
