/** What happens to one call to the API server. */
export type Fate =
  | 'answered'
  /** Done, but the answer is lost. */
  | 'lost'
  /** No answer, and it is done at some later time. */
  | 'late'
  /** No answer, and it never arrives. */
  | 'dropped'
  /** The caller dies before it is sent. */
  | 'crash-before'
  /** The caller dies after it was done. */
  | 'crash-after';

interface Call {
  readonly actor: string;
  readonly perform: () => unknown;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
  readonly write: boolean;
}

export class LostAnswer extends Error {}

/** Between the controllers and the API server: no call is done before `step` picks it. */
export class ModelNetwork {
  private readonly waiting: Call[] = [];
  private readonly delayed: (() => unknown)[] = [];
  private stalled: string | undefined;

  call<T>(actor: string, write: boolean, perform: () => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.waiting.push({ actor, perform, write, answer: resolve as (value: unknown) => void, fail: reject });
    });
  }

  /** One controller stands still, as in a long pause of its collector or a partition, until another one does. */
  stall(actor: string | undefined): void {
    this.stalled = actor;
  }

  get size(): number {
    return this.moving().length;
  }

  /** Does one waiting call. Returns the actor that crashed by it, if one did. */
  step(pick: number, fate: Fate): string | undefined {
    const moving = this.moving();
    const call = moving[pick % Math.max(1, moving.length)];
    if (call === undefined) return undefined;
    this.waiting.splice(this.waiting.indexOf(call), 1);
    switch (fate) {
      case 'answered':
        call.answer(call.perform());
        return undefined;
      case 'lost':
        call.perform();
        call.fail(new LostAnswer());
        return undefined;
      case 'late':
        if (call.write) this.delayed.push(call.perform);
        call.fail(new LostAnswer());
        return undefined;
      case 'dropped':
        call.fail(new LostAnswer());
        return undefined;
      case 'crash-before':
        return call.actor;
      case 'crash-after':
        call.perform();
        return call.actor;
    }
  }

  private moving(): readonly Call[] {
    return this.waiting.filter((call) => call.actor !== this.stalled);
  }

  /** Does one of the writes that nobody waits for any more. */
  arrive(pick: number): void {
    const [perform] = this.delayed.splice(pick % Math.max(1, this.delayed.length), 1);
    perform?.();
  }

  arriveAll(): void {
    while (this.delayed.length > 0) this.arrive(0);
  }

  /** A crashed controller's other calls are gone with it. */
  forget(actor: string): void {
    for (let i = this.waiting.length - 1; i >= 0; i--) if (this.waiting[i]?.actor === actor) this.waiting.splice(i, 1);
  }
}
