// docs/attacks.md: what the attacks of e2e/attacks are, and what came of them in the run that docs/attacks.json records.

import { techniqueOf } from '../controller/audit/techniques.ts';
import { catalogue, families, modes, type Attack, type Mode } from '../e2e/support/attack-catalogue.ts';
import { readRecord, type AttackRecord } from '../e2e/support/attack-record.ts';

export function attacksPage(): string {
  const record = readRecord();
  const attacks = catalogue();
  const sections = Object.entries(families).map(([family, title]) => {
    const own = attacks.filter((attack) => attack.family === family);
    const rows = own.map((attack) => row(attack, record));
    const header = ['| attack | techniques | plain | isolate | split |', '| --- | --- | --- | --- | --- |'];
    return [`## ${title}`, own.map(description).join('\n'), [...header, ...rows].join('\n')].join('\n\n');
  });
  return `${[introduction, summary(attacks, record), ...sections].join('\n\n')}\n`;
}

function summary(attacks: readonly Attack[], record: AttackRecord): string {
  const count = (mode: Mode) => attacks.filter(({ id }) => record.attacks[id]?.[mode] === 'succeeds').length;
  const cells = modes.map((mode) => `${count(mode)} of ${attacks.length}`);
  return [
    '| | plain | isolate | split |',
    '| --- | --- | --- | --- |',
    `| attacks that succeed | ${cells.join(' | ')} |`,
    '',
    `Seen on Kubernetes ${record.kubernetes}, Linux ${record.kernel}.`,
  ].join('\n');
}

function description({ id, what }: Attack): string {
  return `- \`${id}\`: ${what.replaceAll('\n', ' ')}`;
}

function row(attack: Attack, record: AttackRecord): string {
  const { id, name, techniques } = attack;
  const links = techniques.map((technique) => `[${technique}](${techniqueOf(technique).url})`);
  const cells = modes.map((mode) => cell(attack, mode, record));
  return `| [${escaped(name)}](../e2e/attacks/${id}.yaml) | ${links.join(' ')} | ${cells.join(' | ')} |`;
}

/** The reason is the catalogue's, so it stands only beside the outcome that it is a reason for. */
function cell({ id, expected }: Attack, mode: Mode, record: AttackRecord): string {
  const seen = record.attacks[id]?.[mode];
  if (seen === undefined) return 'not tried';
  const word = seen === 'succeeds' ? '**succeeds**' : seen;
  const { outcome, reason } = expected[mode];
  return outcome === seen && reason !== undefined ? `${word}: ${escaped(reason)}` : word;
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('*', '\\*').replaceAll('\n', ' ');
}

const introduction = `# Attacks

<!-- Made by hack/docs.ts from e2e/attacks and docs/attacks.json, which \`node hack/attacks.ts --write\` records. Do not edit. -->

What a malicious container can do to the others of its Pod, tried from inside real containers: in a Pod as it is, in mode
\`isolate\` and in mode \`split\`. The outcomes are those of a run, and \`e2e/52-attack-catalogue.test.ts\` tries all of them again.
Whether an attack succeeded is asked of its target wherever that can know.

    make demo                                                          # the embedded cluster, and podsplit on it
    node_modules/.bin/node hack/attacks.ts                             # all of them, in a few minutes
    node_modules/.bin/node hack/attacks.ts --only loopback-service --verbose
    node_modules/.bin/node hack/attacks.ts --list

How to read it:

- **The Pod** has an app, its helper and the attacker. In the plain Pod and in mode \`split\` they are root, with the capabilities
  that a runtime gives by default, \`NET_RAW\` among them. In mode \`isolate\` each has a UID of its own and no capability, for
  that mode asks it. The plain Pod alone has \`shareProcessNamespace\`, which neither mode admits (\`share-processes\`): what is
  said of processes compares with that.
- **Flows** are listed: the attacker may call the app's TCP port 7000 and UDP port 7004. That these are open, and the app's own
  calls, is asked before and after the attacks, in all three.
- **A ContainerNetworkPolicy** closes everything else to the attacker's container, but only for attacks whose reason it is (the
  metadata service, other Pods, DNS, the way out): each of them has to succeed before the policy is there. All others are
  tried without one. Of the plain Pod's containers no policy can tell one from another.
- **The token** of the Pod's ServiceAccount is for the app: \`podsplit.io/token: app\`.
- **Limits** of CPU and memory are those that [the guard](guards.md) of resources asks for (\`no-limits\`); the plain Pod, whom nobody asks, has none.
- **API calls** are made with the rights of the Pod's ServiceAccount, which has the role \`admin\` in its namespace and may write
  networks and ephemeral containers; whether the attacker's container reaches the API server is another matter. An attack
  fails by the refusal that its file names, and by no other error.
- **Reasons** say why an attack fails, or what to do where it succeeds. What [security.md](security.md) assumes to be kept apart
  is kept apart in mode \`split\`; mode \`isolate\` guards the network only.
- **Techniques** are those of Microsoft's [threat matrix for Kubernetes](https://microsoft.github.io/Threat-Matrix-for-Kubernetes/)
  and of MITRE ATT&CK for Enterprise 18.1.`;
