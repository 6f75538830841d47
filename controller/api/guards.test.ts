import { expect } from 'chai';
import { parseIntent } from './annotations.ts';
import { formatGuards, guardNames, readGuards } from './guards.ts';

const base = 'spec.template.metadata.annotations';

function parse(annotations: Record<string, string>): ReturnType<typeof parseIntent> {
  return parseIntent({ 'podsplit.io/mode': 'split', ...annotations }, ['web', 'cache'], base, ['setup']);
}

function guards(text?: string): unknown {
  const parsed = parse(text === undefined ? {} : { 'podsplit.io/guards': text });
  return parsed.kind === 'intent' ? parsed.guards : parsed;
}

function token(text?: string): unknown {
  const parsed = parse(text === undefined ? {} : { 'podsplit.io/token': text });
  return parsed.kind === 'intent' ? parsed.token : parsed;
}

function lines(annotations: Record<string, string>): string[] {
  const parsed = parse(annotations);
  return parsed.kind === 'invalid'
    ? parsed.refusals.map(({ path, message, action, code }) => `${path}: ${message} ${action} (${code})`)
    : [parsed.kind];
}

describe('podsplit.io/guards', () => {
  it('guards the token and resources where nothing is said', () => {
    expect(guards()).to.deep.equal(['token', 'resources']);
  });

  it('takes all, none and lists, separated as annotations or as labels do it', () => {
    expect(guards('all')).to.deep.equal(['token', 'resources', 'hardening']);
    expect(guards(' none ')).to.deep.equal([]);
    expect(guards('token')).to.deep.equal(['token']);
    for (const text of ['hardening,token', 'token.hardening', ' token , hardening\n', 'token,hardening.token']) {
      expect(guards(text), text).to.deep.equal(['token', 'hardening']);
    }
  });

  it('says of each wrong entry what is allowed, and what was meant', () => {
    const path = `${base}[podsplit.io/guards]`;
    const action = 'Set it to "all", "none", or a list of token, resources, hardening, or remove it.';
    expect(lines({ 'podsplit.io/guards': 'tokens,all,token,x' })).to.deep.equal([
      `${path}: There is no guard "tokens". Did you mean "token"? ${action} (UnknownGuard)`,
      `${path}: "all" stands alone, and not in a list. ${action} (UnknownGuard)`,
      `${path}: There is no guard "x". ${action} (UnknownGuard)`,
    ]);
  });

  for (const text of ['', ',', 'token,', 'Token', 'true', 'token resources', 'token/resources', 'x'.repeat(200_000)]) {
    it(`does not read ${JSON.stringify(text).slice(0, 40)}`, () => {
      const read = lines({ 'podsplit.io/guards': text });
      expect(read).to.have.length(1);
      expect(read[0]).to.contain('UnknownGuard').and.to.have.length.below(400);
    });
  }

  it('reads a list to its end, however long, and says of the first wrong entries only', () => {
    const many = 'token,'.repeat(1000);
    expect(guards(`${many}hardening`)).to.deep.equal(['token', 'hardening']);
    expect(guards(`${many.replaceAll(',', '.')}resources`)).to.deep.equal(['token', 'resources']);
    expect(lines({ 'podsplit.io/guards': `${many}bogus` }).join()).to.contain('There is no guard "bogus".');
    const wrong = Array.from({ length: 20_000 }, (_, i) => `x${i}`).join();
    expect(lines({ 'podsplit.io/guards': wrong })).to.have.length(10);
  });

  it('reads what it writes, and a policy in CEL finds in it what it does', () => {
    for (let mask = 0; mask < 1 << guardNames.length; mask++) {
      const some = guardNames.filter((_, i) => (mask & (1 << i)) !== 0);
      expect(readGuards(formatGuards(some))).to.deep.equal({ guards: some });
    }
    for (const text of ['all', 'none', 'token', 'token.resources', ' resources ,token', 'hardening']) {
      const read = readGuards(text);
      for (const guard of guardNames) {
        const found = new RegExp(`(^|[,.\\s])(all|${guard})($|[,.\\s])`).test(text);
        expect('guards' in read && read.guards.includes(guard), `${guard} in ${text}`).to.equal(found);
      }
    }
  });
});

describe('podsplit.io/token', () => {
  it('names containers and init containers, and nobody where it is not there', () => {
    expect(token()).to.deep.equal([]);
    expect(token('none')).to.deep.equal([]);
    expect(token('cache')).to.deep.equal(['cache']);
    expect(token(' setup, web ,setup')).to.deep.equal(['web', 'setup']);
  });

  it('takes no container that the Pod has not', () => {
    const path = `${base}[podsplit.io/token]`;
    expect(lines({ 'podsplit.io/token': 'wb,none' })).to.deep.equal([
      `${path}: The Pod has no container "wb". Did you mean "web"? Use one of web, cache, setup. (UnknownContainer)`,
      `${path}: The Pod has no container "none". Use one of web, cache, setup. (UnknownContainer)`,
    ]);
    const action = 'List names of containers, separated by commas, or write "none".';
    expect(lines({ 'podsplit.io/token': 'web,' })).to.deep.equal([
      `${path}: "web," has an entry without a name. ${action} (InvalidToken)`,
    ]);
  });

  it('reads a list to its end, however long, and says of the first wrong entries only', () => {
    const many = 'web,'.repeat(1000);
    expect(token(`${many}cache`)).to.deep.equal(['web', 'cache']);
    expect(lines({ 'podsplit.io/token': `${many}bogus` }).join()).to.contain('no container "bogus"');
    const wrong = Array.from({ length: 20_000 }, (_, i) => `x${i}`).join();
    expect(lines({ 'podsplit.io/token': wrong })).to.have.length(10);
  });

  it('does not let init containers be a primary, or have flows', () => {
    expect(lines({ 'podsplit.io/primary': 'setup' })[0]).to.contain('UnknownContainer');
  });
});
