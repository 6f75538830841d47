/**
 * Work that is cheaper together: what comes for a key while an earlier batch of it is in work goes with all others of its kind
 * in the next. Different keys side by side.
 */
export class Batches<In, Out> {
  private readonly work: (inputs: readonly [In, ...In[]]) => Promise<readonly Out[]>;
  /** A key that is in work, and what waits for its next batch. */
  private readonly waiting = new Map<string, Waiting<In, Out>[]>();

  /** @param work answers in the order of its inputs; a failure is that of all of them */
  constructor(work: (inputs: readonly [In, ...In[]]) => Promise<readonly Out[]>) {
    this.work = work;
  }

  run(key: string, input: In): Promise<Out> {
    const { promise, resolve, reject } = Promise.withResolvers<Out>();
    const waiting = this.waiting.get(key);
    if (waiting !== undefined) {
      waiting.push({ input, resolve, reject });
      return promise;
    }
    this.waiting.set(key, [{ input, resolve, reject }]);
    void this.drain(key);
    return promise;
  }

  private async drain(key: string): Promise<void> {
    for (;;) {
      const batch = this.waiting.get(key)?.splice(0) ?? [];
      const [first, ...others] = batch.map(({ input }) => input);
      if (first === undefined) break;
      try {
        const answers = await this.work([first, ...others]);
        if (answers.length !== batch.length)
          throw new RangeError(`${answers.length} answers to ${batch.length} inputs`);
        for (const [index, answer] of answers.entries()) batch[index]?.resolve(answer);
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.waiting.delete(key);
  }
}

interface Waiting<In, Out> {
  readonly input: In;
  readonly resolve: (answer: Out) => void;
  readonly reject: (error: unknown) => void;
}
