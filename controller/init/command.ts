import { parseArgs } from 'node:util';
import { wiringFile, wiringMountPath } from '../api/names.ts';
import { compile } from '../rules/compile.ts';
import { links } from '../rules/links.ts';
import { parseWiring } from '../rules/wiring-json.ts';
import { parseHostIPs } from '../netns/facts.ts';
import { host, type Host } from '../netns/host.ts';
import { NetnsError } from '../netns/netns-error.ts';
import { runInit } from './init.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** `podsplit init`: gives the exit code. What went wrong is in the log and in the container's termination message. */
export async function runInitCommand(args: readonly string[], env: Environment): Promise<number> {
  // The container's process 1 has no default action for signals: SIGTERM would wait for SIGKILL, a whole grace period.
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(143));
  const { values } = parseArgs({
    args: [...args],
    options: {
      wiring: { type: 'string', default: `${wiringMountPath}/${wiringFile}` },
      'termination-log': { type: 'string', default: '/dev/termination-log' },
      'poll-interval': { type: 'string', default: '200' },
      'report-interval': { type: 'string', default: '10000' },
    },
  });
  const terminationLog = values['termination-log'];
  try {
    await runInit(
      {
        wiringFile: values.wiring,
        terminationLog,
        hostIPs: parseHostIPs(env['HOST_IPS'] ?? ''),
        pollInterval: milliseconds('poll-interval', values['poll-interval']),
        reportInterval: milliseconds('report-interval', values['report-interval']),
      },
      host,
    );
    return 0;
  } catch (error) {
    if (!(error instanceof NetnsError)) throw error;
    host.log('error', error.message, { code: error.code });
    await host.write(terminationLog, `${error.code}: ${error.message}`);
    return 1;
  }
}

function milliseconds(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 10) return value;
  throw new NetnsError('InvalidEnvironment', `--${flag} is ${text}, not a number of milliseconds from 10 on`);
}

/** `podsplit rules`: what `podsplit init` would load for this wiring, for people to read. */
export async function rulesText(args: readonly string[], files: Pick<Host, 'read'>): Promise<string> {
  const { values } = parseArgs({
    args: [...args],
    options: {
      wiring: { type: 'string', default: `${wiringMountPath}/${wiringFile}` },
      'node-ip': { type: 'string', multiple: true, default: [] },
    },
  });
  const text = await files.read(values.wiring);
  if (text === undefined) throw new NetnsError('InvalidEnvironment', `no file ${values.wiring}`);
  const wiring = parseWiring(text);
  const local = { podIPs: wiring.self.podIPs ?? [], nodeIPs: values['node-ip'] };
  const { ipv4, ipv6 } = links(wiring, local);
  const batch = [...ipv4.map((line) => `# ip -4 ${line}`), ...ipv6.map((line) => `# ip -6 ${line}`)];
  return `${compile(wiring, local)}\n${batch.join('\n')}\n`;
}
