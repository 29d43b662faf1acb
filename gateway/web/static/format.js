// Values as a person reads them, the same as gateway/web/render.py and shared/texts.py write them.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
const DASH = "\u2014";

/** With so many decimals and thousands apart; where two are as near, the even one, as Python rounds. */
function decimals(digits) {
  return (number) => {
    const exact = number.toFixed(40);
    const end = exact.indexOf(".") + (digits ? digits + 1 : 0);
    const isTie = /^\.?50*$/.test(exact.slice(end)) && "02468".includes(exact.slice(0, end).at(-1));
    const [integer, fraction] = (isTie ? exact.slice(0, end) : number.toFixed(digits)).split(".");
    const grouped = integer.replace(/\B(?=(\d{3})+$)/g, ",");
    return fraction ? `${grouped}.${fraction}` : grouped;
  };
}
const whole = decimals(0);
const tenths = decimals(1);
const hundredths = decimals(2);

/** A text with what cannot be seen made visible: a control, a bidi override, half a surrogate pair as `[U+202E]`. */
export function visible(text) {
  return String(text)
    .replaceAll("\r\n", "\n")
    .replace(UNSEEN, (found) => `[U+${found.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}]`);
}

/** At most `limit` characters, the last of them an ellipsis where something is missing. */
export const clip = (text, limit) => (text.length <= limit ? text : `${text.slice(0, limit - 1)}\u2026`);

/** 0.26 as `26.00%`. */
export const percent = (rate) => (rate == null ? DASH : `${hundredths(rate * 100)}%`);

/** 12345 as `12,345`. */
export const count = (number) => (number == null ? DASH : whole(number));

/** As `$1,234.50`, and below a dollar with two digits that count: `$0.0021`. */
export function dollars(amount) {
  if (amount == null) return DASH;
  const places = amount >= 1 || amount === 0 ? 2 : Math.min(10, 1 - Math.floor(Math.log10(amount)));
  return `$${decimals(Math.max(places, 2))(amount)}`;
}

/** Milliseconds, as `812 ms` below a second and `1.24 s` from there on. */
export function duration(ms) {
  if (ms == null) return DASH;
  return ms < 999.5 ? `${whole(ms)}\u00a0ms` : `${hundredths(ms / 1000)}\u00a0s`;
}

/** 45.2 as `45.2 s`, 130 as `2 min 10 s`, 7500 as `2 h 5 min`. */
export function seconds(value) {
  if (value == null) return DASH;
  if (value < 59.95) return `${tenths(value)}\u00a0s`;
  const rounded = Math.round(value);
  if (rounded < 3600) return `${Math.floor(rounded / 60)}\u00a0min ${rounded % 60}\u00a0s`;
  return `${count(Math.floor(rounded / 3600))}\u00a0h ${Math.floor((rounded % 3600) / 60)}\u00a0min`;
}

/** Bytes, as `1.4 MB`. */
export function size(bytes) {
  if (bytes < 1000) return `${bytes}\u00a0B`;
  let number = bytes;
  for (const unit of ["kB", "MB", "GB"]) {
    number /= 1000;
    if (number < 999.95 || unit === "GB") return `${tenths(number)}\u00a0${unit}`;
  }
}

/** A metric of unknown unit, to 4 places. */
export const plain = (number) =>
  number == null ? DASH : number.toLocaleString("en-US", { maximumFractionDigits: 4 });

/** `exact_match` as `Exact match`. */
export function words(name) {
  const text = name.replaceAll("_", " ");
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
