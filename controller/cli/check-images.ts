/** What an image's tag says its version is; undefined where it says none. */
export function versionOf(image: string): string | undefined {
  const [name = ''] = image.split('@');
  const tag = /:([^/:]+)$/.exec(name)?.[1] ?? '';
  return /^v?\d+(\.\d+)+(-rc\.\d+|-alpha\.\d+|-beta\.\d+)?/.exec(tag)?.[0];
}
