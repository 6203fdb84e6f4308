/** The bits of a number as Python's float.hex writes them. */

/** 0.5 → "0x1.0000000000000p-1" */
export function hexOf(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const bits = view.getBigUint64(0);
  const sign = bits >> 63n ? "-" : "";
  const power = Number((bits >> 52n) & 0x7ffn);
  const rest = bits & 0xfffffffffffffn;
  if (power === 0 && rest === 0n) return `${sign}0x0.0p+0`;
  const exponent = power === 0 ? -1022 : power - 1023;
  const digits = rest.toString(16).padStart(13, "0");
  return `${sign}0x${power === 0 ? 0 : 1}.${digits}p${exponent < 0 ? "" : "+"}${exponent}`;
}
