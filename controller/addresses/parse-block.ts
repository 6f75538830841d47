import type { AddressBlock, Claim } from '../api/resources.ts';
import { blockName } from './block.ts';
import { usableOffsets, type Pool } from './pool.ts';

export interface BlockError {
  readonly path: string;
  readonly message: string;
}

/**
 * What is wrong with a block that somebody may have edited. Addresses are given from sound blocks only: in another one
 * nobody can tell which claim is true.
 */
export function blockErrors(block: AddressBlock, pool: Pool): readonly BlockError[] {
  const { spec, metadata } = block;
  const errors: BlockError[] = [];
  const name = blockName(spec.network, spec.index);
  if (metadata.name !== name) errors.push({ path: 'metadata.name', message: `is ${metadata.name}, not ${name}.` });
  const usable = new Set(usableOffsets(pool, spec.index));
  const holders = new Map<number, string>();
  const uids = new Set<string>();
  for (const [i, claim] of spec.claims.entries()) {
    const path = `spec.claims[${i}]`;
    if (uids.has(claim.pod.uid)) errors.push({ path: `${path}.pod.uid`, message: `${claim.pod.uid} has two claims.` });
    uids.add(claim.pod.uid);
    errors.push(...offsetErrors(claim, path, usable, holders));
  }
  return errors;
}

export function formatBlockError(block: AddressBlock, error: BlockError): string {
  return `AddressBlock ${block.metadata.name}: ${error.path}: ${error.message}`;
}

function offsetErrors(
  claim: Claim,
  claimPath: string,
  usable: ReadonlySet<number>,
  holders: Map<number, string>,
): readonly BlockError[] {
  return Object.entries(claim.offsets).flatMap(([container, offset]) => {
    const path = `${claimPath}.offsets.${container}`;
    const holder = holders.get(offset);
    holders.set(offset, path);
    if (holder !== undefined) return [{ path, message: `${offset} is also ${holder}.` }];
    return usable.has(offset) ? [] : [{ path, message: `${offset} is not an address that can be given.` }];
  });
}
