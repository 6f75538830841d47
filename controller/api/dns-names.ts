const label = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/;
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

/** RFC 1123 label: what names containers, volumes and hosts. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && label.test(text);
}

/** RFC 1123 subdomain: what names most objects. */
export function isDnsSubdomain(text: string, maxLength = 253): boolean {
  return text.length <= maxLength && subdomain.test(text);
}
