import { expect } from 'chai';
import type { IPod } from 'kubernetes-models/v1/Pod';
import { userAnnotations } from '../api/names.ts';
import { admit } from '../isolate/admit.ts';
import { corpus, corpusOptions } from './testdata/corpus.ts';

const cases = corpus();

/** A Pod of the corpus, with its ports undeclared and its flows left to them. */
function codesOf(name: string, egressVia: string | undefined): readonly string[] {
  const found = cases.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no case ${name}`);
  const { metadata } = found.pod;
  const kept = Object.entries(metadata?.annotations ?? {}).filter(
    ([key]) => key !== userAnnotations.flows && key !== userAnnotations.egressVia && key !== userAnnotations.egressDns,
  );
  const annotations = {
    ...Object.fromEntries(kept),
    ...(egressVia === undefined ? {} : { [userAnnotations.egressVia]: egressVia }),
  };
  const pod: IPod = { ...found.pod, metadata: { ...metadata, annotations } };
  const { judgement } = admit(pod, corpusOptions);
  if (judgement.kind !== 'split' && judgement.kind !== 'isolate') throw new Error(judgement.kind);
  return judgement.reasons.map(({ code }) => code);
}

describe('what is said of a Pod that declares no port', () => {
  for (const [mode, name] of [
    ['split', 'node-egress-via'],
    ['isolate', 'isolate-egress-via'],
  ] as const) {
    it(`is that nobody may call another, unless a way out carries all TCP there: mode ${mode}`, () => {
      expect(codesOf(name, undefined)).to.include('FlowsDeclared');
      expect(codesOf(name, 'agent->proxy')).to.include.members(['FlowsDeclared', 'EgressVia']);
      expect(codesOf(name, 'agent->proxy:15001')).to.include('EgressVia').and.not.include('FlowsDeclared');
    });
  }
});
