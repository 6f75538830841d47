import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** The pure core: a decision or a text computed from its arguments. See docs/decisions/0001-pure-core.md. */
const pureCore = [
  'controller/api/**/*.ts',
  'controller/split/**/*.ts',
  'controller/isolate/**/*.ts',
  'controller/addresses/**/*.ts',
  'controller/rules/**/*.ts',
  'controller/policies/**/*.ts',
  'controller/audit/**/*.ts',
  'controller/manifests/**/*.ts',
];

const effects = [
  'fs',
  'fs/promises',
  'net',
  'http',
  'https',
  'http2',
  'dns',
  'tls',
  'dgram',
  'child_process',
  'timers',
  'timers/promises',
  'os',
  'process',
  'worker_threads',
  'cluster',
];

export default tseslint.config(
  { ignores: ['node_modules/', 'dist/', 'coverage/', '.cluster/', 'cni/'] },
  js.configs.recommended,
  ...tseslint.configs.strictTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: { allowDefaultProject: ['eslint.config.js'] } } },
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      complexity: ['error', 20],
      'max-depth': ['error', 4],
      'max-params': ['error', 5],
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true } }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/switch-exhaustiveness-check': ['error', { considerDefaultExhaustiveForUnions: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true, allowBoolean: true }],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', varsIgnorePattern: '^_' }],
    },
  },
  { files: ['eslint.config.js'], ...tseslint.configs.disableTypeChecked },
  // ESLint reads its configuration from a default export.
  { files: ['eslint.config.js'], rules: { 'no-restricted-exports': 'off' } },
  {
    files: ['**/*.test.ts', 'e2e/**/*.ts'],
    rules: {
      // chai's assertions are expressions, and a suite is one long function by nature.
      '@typescript-eslint/no-unused-expressions': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: pureCore,
    // What it reads stands beside what it is read for, and is bundled where nothing is read.
    ignores: ['**/*.test.ts', 'controller/manifests/sources.ts'],
    rules: {
      'no-restricted-imports': [
        'error',
        {
          paths: [
            ...effects.flatMap((name) => [name, `node:${name}`]),
            '@kubernetes/client-node',
            'pino',
            'prom-client',
          ].map((name) => ({
            name,
            message: 'The pure core has no clients, clocks, files or sockets: pass the data in.',
          })),
          patterns: [
            {
              group: ['**/kube/**', '**/admission/**', '**/reconcile/**', '**/agent/**', '**/volumes/**', '**/cli/**'],
              message: 'The pure core does not know its shells.',
            },
          ],
        },
      ],
      'no-restricted-globals': [
        'error',
        ...['fetch', 'process', 'setTimeout', 'setInterval', 'setImmediate', 'performance', 'WebSocket'].map(
          (name) => ({
            name,
            message: 'The pure core has no clients, clocks, files or sockets: pass the data in.',
          }),
        ),
      ],
      'no-restricted-properties': [
        'error',
        { object: 'Date', property: 'now', message: 'The pure core has no clock: pass the time in.' },
        { object: 'Math', property: 'random', message: 'The pure core is deterministic: pass randomness in.' },
      ],
      'no-restricted-syntax': [
        'error',
        { selector: "NewExpression[callee.name='Date'][arguments.length=0]", message: 'The pure core has no clock.' },
      ],
    },
  },
);
