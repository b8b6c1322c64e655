// Numbers, amounts and durations as text.

function formatCount(value) {
  const maximumFractionDigits = value < 100 ? 2 : 0;
  return value.toLocaleString("en-US", { maximumFractionDigits });
}

// 12345 -> "12.3k": what fits beside an axis.
function formatShort(value) {
  if (value >= 1e6) return Number((value / 1e6).toPrecision(3)) + "M";
  if (value >= 1e4) return Number((value / 1e3).toPrecision(3)) + "k";
  return String(Number(value.toPrecision(3)));
}

// As shared/durations.py says it: "45 s", "1 min 15 s", "1 h 30 min", "2.3 days".
function formatDuration(seconds) {
  if (seconds === null || !isFinite(seconds)) return "unknown";
  const whole = Math.round(seconds);
  const padded = (value) => String(value).padStart(2, "0");
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${padded(whole % 60)} s`;
  if (whole < 48 * 3600) {
    return `${Math.floor(whole / 3600)} h ${padded(Math.floor((whole % 3600) / 60))} min`;
  }
  return `${(whole / 86400).toFixed(1)} days`;
}

// "rate_limited" -> "rate limited"
function formatName(name) {
  return name.replaceAll("_", " ");
}
