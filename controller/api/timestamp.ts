/** RFC 3339 in UTC, to the second: metav1.Time has no fractions. */
export function timestamp(epochMs: number): string {
  return new Date(epochMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
