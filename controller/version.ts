/** Filled in when the programs are bundled (hack/build.ts). */
export const version = process.env['PODSPLIT_VERSION'] ?? 'dev';
