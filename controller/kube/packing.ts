import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';

/** An object that is kept. */
export interface Kept<S> {
  readonly object: S;
}

/** As many samples as show what pieces and their kinds have in common. */
const samples = 4;
/** DEFLATE looks back no further (RFC 1951). */
const windowBytes = 32_768;
/** Above the fastest, less is kept and unpacking is faster; higher levels gain little. */
const level = 3;
/** Of the compressor's own tables: the default of 8 takes longer to set up than to use. */
const memLevel = 6;
/**
 * More than most objects take packed. Node's default for what comes out of a stream, 16 KB, is memory outside the heap that
 * waits for the next collection: among 10,000 split Pods 40 MB of it.
 */
const packedBytes = 1024;

/**
 * Keeps many objects of one kind small: as compressed JSON, 0.3 KB for a Pod that takes 6 KB and more parsed. Who asks gets
 * an object that is parsed once, and then shared for as long as somebody, or the next garbage collection, holds it.
 *
 * The first objects are the dictionary of those that follow: what all Pods have in common is not in any of them.
 */
export class Packing<S extends object> {
  private dictionary = Buffer.alloc(0);
  private sampled = 0;

  pack(object: S): Kept<S> {
    const json = JSON.stringify(object);
    const packed = new Packed(object, json, this.dictionary);
    if (this.sampled < samples) {
      this.sampled += 1;
      // What is at its end is found with the shortest distance.
      this.dictionary = Buffer.concat([this.dictionary, Buffer.from(json)]).subarray(-windowBytes);
    }
    return packed;
  }
}

class Packed<S extends object> implements Kept<S> {
  private shared: WeakRef<S>;
  private readonly dictionary: Buffer;
  /** A character for each byte: a Buffer of its own for each object would be larger than what is in it. */
  private readonly bytes: string;
  /** Of the JSON, in bytes. */
  private readonly length: number;

  constructor(object: S, json: string, dictionary: Buffer) {
    this.shared = new WeakRef(object);
    this.dictionary = dictionary;
    const plain = Buffer.from(json);
    this.length = plain.length;
    this.bytes = deflateRawSync(plain, { level, memLevel, dictionary, chunkSize: packedBytes }).toString('latin1');
  }

  get object(): S {
    const known = this.shared.deref();
    if (known !== undefined) return known;
    const { dictionary } = this;
    // One byte more than it takes: what is full is followed by another.
    const chunkSize = Math.max(this.length + 1, constants.Z_MIN_CHUNK);
    const json = inflateRawSync(Buffer.from(this.bytes, 'latin1'), { dictionary, chunkSize }).toString();
    const object = JSON.parse(json) as S;
    this.shared = new WeakRef(object);
    return object;
  }
}
