import { effects, severities } from './finding.ts';
import { channels, ruleIds } from './rules.ts';
import { reportVersion } from './report.ts';

/** JSON Schema, as far as it is used here. */
export interface Schema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: 'object' | 'array' | 'string' | 'integer';
  readonly const?: string;
  readonly enum?: readonly string[];
  readonly minItems?: number;
  readonly minimum?: number;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: false;
}

const text = (description?: string): Schema => ({
  type: 'string',
  ...(description === undefined ? {} : { description }),
});
const count = (description?: string): Schema => ({
  type: 'integer',
  minimum: 0,
  ...(description === undefined ? {} : { description }),
});
const oneOf = (values: readonly string[], description?: string): Schema => ({
  type: 'string',
  enum: values,
  ...(description === undefined ? {} : { description }),
});
const listOf = (items: Schema, description?: string): Schema => ({
  type: 'array',
  items,
  ...(description === undefined ? {} : { description }),
});

/** All properties are there, but for those that are named. */
function object(
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
  description?: string,
): Schema {
  return {
    type: 'object',
    ...(description === undefined ? {} : { description }),
    properties,
    required: Object.keys(properties).filter((name) => !optional.includes(name)),
    additionalProperties: false,
  };
}

const effect = (mode: string): Schema =>
  object(
    { effect: oneOf(effects), reason: text() },
    [],
    `What mode ${mode} would do about it. "refused": the mode does not take the Pod while this is so.`,
  );

const finding = object({
  rule: oneOf(ruleIds),
  severity: oneOf(severities),
  actor: text('The container that could do it.'),
  victims: {
    ...listOf(
      object(
        {
          kind: oneOf(['container', 'node', 'pods', 'api', 'outside']),
          name: text('Of kind container.'),
          detail: text('Ports, files or powers.'),
        },
        ['name', 'detail'],
      ),
    ),
    minItems: 1,
  },
  techniques: { ...listOf(text(), 'Ids of the techniques below.'), minItems: 1 },
  message: text(),
  evidence: { ...listOf(object({ path: text('Field of the object as it was read.'), says: text() })), minItems: 1 },
  isolate: effect('isolate'),
  split: effect('split'),
  now: oneOf(['open', 'lessened', 'closed'], 'As the Pod runs, in whatever mode it is.'),
});

const coded = { code: text('Stable.'), path: text(), message: text() };

const mode = {
  verdict: oneOf(['possible', 'refused'], 'Were the workload annotated, and nothing else changed.'),
  refusals: listOf(object({ ...coded, action: text() }), 'docs/refusals.md has each code.'),
  flows: listOf(text(), 'What would stay open between containers, as podsplit.io/flows writes it.'),
  changes: listOf(object({ ...coded, piece: text() }), 'What would be different; empty where it is refused.'),
  effects: object(
    Object.fromEntries(effects.map((each) => [each, count()])),
    [],
    'How many findings it closes, lessens, leaves or refuses the Pod for.',
  ),
};

const workload = object({
  id: text('Unique in the report, and the same in the next one unless replicas come to differ.'),
  namespace: text('Empty where a manifest names none.'),
  kind: text(),
  name: text(),
  pods: count('Pods of the workload that are alike.'),
  example: text('The name of one of them.'),
  mode: oneOf(['none', 'isolate', 'split'], 'That it runs in.'),
  containers: listOf(
    object({
      name: text(),
      kind: oneOf(['container', 'sidecar', 'init'], 'A sidecar is an init container that goes on.'),
      image: text(),
      user: text('"root", a UID, "not root", or "of its image".'),
      ports: listOf(text()),
    }),
    'In the order in which they start.',
  ),
  findings: listOf(finding, 'The gravest first.'),
  isolate: object(mode),
  split: object({ ...mode, primary: text(), siblings: listOf(text()) }),
  unbounded: listOf(
    text(),
    'Containers that state no requests or limits: the guard "resources" refuses the Pod in either mode, unless its SplitNetwork gives them.',
  ),
  notes: listOf(text()),
});

/** Of `kubectl podsplit audit -o json`. Fields are added within a version, and none is taken away or changed. */
export const reportSchema: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'AuditReport',
  ...object({
    apiVersion: { type: 'string', const: reportVersion },
    kind: { type: 'string', const: 'AuditReport' },
    made: object({
      at: text('RFC 3339.'),
      by: text(),
      from: text('Files, or the cluster and its part.'),
      without: listOf(text(), 'Resources that could not be read.'),
    }),
    summary: object({
      workloads: count(),
      pods: count(),
      single: count('Pods with one container, which are left out.'),
      windows: count('Windows Pods, which are left out.'),
      open: object(
        Object.fromEntries(severities.map((severity) => [severity, count()])),
        [],
        'Findings that are open or lessened, replicas counted once.',
      ),
      closed: count('Findings that the mode in force closes.'),
    }),
    workloads: listOf(workload, 'The gravest first.'),
    unreadable: listOf(
      object({ namespace: text(), kind: text(), name: text(), reasons: listOf(text()) }),
      'Objects that are no Pods an API server would take.',
    ),
    rules: listOf(
      object({ id: oneOf(ruleIds), title: text(), channel: oneOf(channels), about: text() }),
      'Those that findings name.',
    ),
    techniques: listOf(
      object({
        id: text(),
        name: text(),
        matrix: oneOf(['Microsoft', 'MITRE']),
        tactics: listOf(text()),
        url: text(),
      }),
      'Those that findings name.',
    ),
  }),
};
