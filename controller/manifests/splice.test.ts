import { expect } from 'chai';
import { parse, parseDocument } from 'yaml';
import { splice, valueAt } from './splice.ts';

const text = `# Kept.
spec:
  replicas: 2 # kept too
  containers:
    - name: first
      image: one
    - name: second
      # Why.
      image: 'two'
      env:
        - {name: LEVEL, value: info}
        - {name: EMPTY, value: ''}
      resources:
        requests: {cpu: 1}
        limits: {cpu: 2}
  ports:
    - {port: 1}
    - {port: 2}
`;

const { contents } = parseDocument(text);

describe('splice', () => {
  it('reads a value by keys, names and numbers', () => {
    expect(valueAt(contents, ['spec', 'containers', '[second]', 'image'])).to.equal('two');
    expect(valueAt(contents, ['spec', 'containers', '[second]', 'env', '[EMPTY]', 'value'])).to.equal('');
    expect(valueAt(contents, ['spec', 'containers', '[second]', 'resources'])).to.deep.equal({
      requests: { cpu: 1 },
      limits: { cpu: 2 },
    });
    expect(valueAt(contents, ['spec', 'ports', '1', 'port'])).to.equal(2);
  });

  it('changes what is named, of any shape, and nothing else', () => {
    const changed = splice(text, contents, [
      { path: ['spec', 'replicas'], text: () => ' 3' },
      { path: ['spec', 'containers', '[second]', 'env', '[EMPTY]', 'value'], text: () => ' full' },
      {
        path: ['spec', 'containers', '[second]', 'resources'],
        text: (indent) => `\n${' '.repeat(indent + 2)}limits: {}`,
      },
      { path: ['spec', 'ports'], text: () => ' []' },
    ]);
    expect(changed).to.equal(
      text
        .replace('replicas: 2', 'replicas: 3')
        .replace("EMPTY, value: ''", 'EMPTY, value: full')
        .replace(/resources:\n.*\n.*\n/, 'resources:\n        limits: {}\n')
        .replace(/ports:\n.*\n.*\n/, 'ports: []\n'),
    );
    expect(parse(changed)).to.be.an('object');
  });

  it('does not pass over what is not there', () => {
    expect(() =>
      splice(text, contents, [{ path: ['spec', 'containers', '[third]', 'image'], text: () => ' x' }]),
    ).to.throw('no spec.containers.[third].image');
  });
});
