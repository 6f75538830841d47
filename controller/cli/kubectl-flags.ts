/** The verbs of kubectl that work inside one Pod, and of which `kubectl podsplit` has its own. */
export const verbs = ['logs', 'exec', 'debug'] as const;
export type Verb = (typeof verbs)[number];

/**
 * Flags of kubectl 1.35 that take a value, as `kubectl options` and `kubectl VERB --help` list them. All others are
 * switches. What a flag takes has to be known here, or its value would be taken for the Pod.
 */
export const globalValueFlags: readonly string[] = [
  '--as',
  '--as-group',
  '--as-uid',
  '--as-user-extra',
  '--cache-dir',
  '--certificate-authority',
  '--client-certificate',
  '--client-key',
  '--cluster',
  '--context',
  '--kubeconfig',
  '--kuberc',
  '--log-flush-frequency',
  '--namespace',
  '--password',
  '--profile',
  '--profile-output',
  '--request-timeout',
  '--server',
  '--tls-server-name',
  '--token',
  '--user',
  '--username',
  '--v',
  '--vmodule',
];

export const valueFlags: Readonly<Record<Verb, readonly string[]>> = {
  logs: [
    '--container',
    '--limit-bytes',
    '--max-log-requests',
    '--pod-running-timeout',
    '--selector',
    '--since',
    '--since-time',
    '--tail',
  ],
  exec: ['--container', '--filename', '--pod-running-timeout'],
  debug: [
    '--container',
    '--copy-to',
    '--custom',
    '--env',
    '--filename',
    '--image',
    '--image-pull-policy',
    '--profile',
    '--set-image',
    '--target',
  ],
};

/** The letters that are short for one of them. `-f` is a switch of `logs` and a file of the others. */
export const shortValueFlags: Readonly<Record<Verb, Readonly<Record<string, string>>>> = {
  logs: { n: '--namespace', s: '--server', v: '--v', c: '--container', l: '--selector' },
  exec: { n: '--namespace', s: '--server', v: '--v', c: '--container', f: '--filename' },
  debug: { n: '--namespace', s: '--server', v: '--v', c: '--container', f: '--filename' },
};
