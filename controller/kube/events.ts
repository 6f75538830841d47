import { timestamp } from '../api/timestamp.ts';
import { shortHash } from '../api/identity.ts';
import type { Logger } from '../observability/log.ts';
import type { KubeClient } from './client.ts';
import type { Clock } from './clock.ts';
import { isApiError } from './errors.ts';
import type { Event } from './resources.ts';
import { resources } from './resources.ts';

/** Whom an Event is about. */
export interface EventTarget {
  readonly apiVersion: string;
  readonly kind: string;
  /** Left out for cluster-scoped objects: their Events live in `default`. */
  readonly namespace?: string | undefined;
  readonly name: string;
  readonly uid?: string | undefined;
}

export type EventType = 'Normal' | 'Warning';

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** For example `podsplit`. */
  readonly component: string;
  /** The Pod that reports. */
  readonly instance: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly hooks?: { recorded?(result: 'created' | 'counted' | 'dropped' | 'failed'): void };
}

/** Same object, reason and message within this time: one Event that counts. */
const seriesMs = 10 * 60_000;
/** Per object, as client-go: 25 at once, then one in five minutes. */
const bucket = { size: 25, refillMs: 300_000 } as const;
/** A cluster that has more objects in trouble loses a count, not memory. */
const maxRemembered = 4096;
/** Events wait for a slow API server, but not without end. */
const maxQueued = 1000;
const maxMessage = 1024;

interface Series {
  readonly name: string;
  readonly namespace: string;
  count: number;
  /** Monotonic. */
  lastSeen: number;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** Records core/v1 Events in the background. Nothing waits for it and nothing fails because of it. */
export class EventRecorder {
  private readonly options: EventRecorderOptions;
  private readonly series = new Map<string, Series>();
  private readonly buckets = new Map<string, Bucket>();
  private queued = 0;
  private tail: Promise<void> = Promise.resolve();

  constructor(options: EventRecorderOptions) {
    this.options = options;
  }

  event(target: EventTarget, type: EventType, reason: string, message: string): void {
    const object = [target.apiVersion, target.kind, target.namespace, target.name, target.uid].join('/');
    if (this.queued >= maxQueued || !this.spend(object)) {
      this.options.hooks?.recorded?.('dropped');
      return;
    }
    this.queued++;
    const text = message.length > maxMessage ? `${message.slice(0, maxMessage - 1)}…` : message;
    // One after the other: the second of two equal Events finds the first and counts.
    this.tail = this.tail.then(() => this.record(object, target, { type, reason, message: text }));
  }

  /** Resolves when what was recorded so far is written, or given up. */
  async flush(): Promise<void> {
    await this.tail;
  }

  private async record(
    object: string,
    target: EventTarget,
    event: { type: EventType; reason: string; message: string },
  ): Promise<void> {
    const { hooks, log } = this.options;
    try {
      const result = await this.write(`${object}/${event.type}/${event.reason}/${event.message}`, target, event);
      hooks?.recorded?.(result);
    } catch (error) {
      hooks?.recorded?.('failed');
      log.warn({ err: error, object, reason: event.reason }, 'an Event could not be written');
    } finally {
      this.queued--;
    }
  }

  private async write(
    key: string,
    target: EventTarget,
    event: { type: EventType; reason: string; message: string },
  ): Promise<'created' | 'counted'> {
    const { client, clock } = this.options;
    const now = clock.now();
    const seen = clock.monotonic();
    const known = this.series.get(key);
    if (known !== undefined && seen - known.lastSeen < seriesMs) {
      try {
        const body = { count: known.count + 1, lastTimestamp: timestamp(now) };
        await client.patch(resources.events, known, { type: 'merge', body });
        known.count++;
        known.lastSeen = seen;
        return 'counted';
      } catch (error) {
        // Events expire after an hour by default, and people delete them.
        if (!isApiError(error, 'NotFound')) throw error;
      }
    }
    const created = await client.create(resources.events, this.body(key, target, event, now));
    const { name, namespace = 'default' } = created.metadata;
    remember(this.series, key, { name, namespace, count: 1, lastSeen: seen });
    return 'created';
  }

  private body(
    key: string,
    target: EventTarget,
    event: { type: EventType; reason: string; message: string },
    now: number,
  ): Event {
    const { component, instance } = this.options;
    const namespace = target.namespace ?? 'default';
    // As client-go names them: the object, then something that does not come twice.
    const name = `${target.name.slice(0, 230)}.${shortHash(`${key}/${instance}/${now}`, 16)}`;
    const { apiVersion, kind, uid } = target;
    return {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: { name, namespace },
      involvedObject: {
        apiVersion,
        kind,
        name: target.name,
        ...(target.namespace === undefined ? {} : { namespace: target.namespace }),
        ...(uid === undefined ? {} : { uid }),
      },
      ...event,
      source: { component },
      reportingComponent: component,
      reportingInstance: instance,
      firstTimestamp: timestamp(now),
      lastTimestamp: timestamp(now),
      count: 1,
    };
  }

  private spend(object: string): boolean {
    const now = this.options.clock.monotonic();
    const known = this.buckets.get(object) ?? { tokens: bucket.size, filledAt: now };
    const refilled = Math.floor((now - known.filledAt) / bucket.refillMs);
    known.tokens = Math.min(bucket.size, known.tokens + refilled);
    known.filledAt += refilled * bucket.refillMs;
    remember(this.buckets, object, known);
    if (known.tokens < 1) return false;
    known.tokens--;
    return true;
  }
}

/** A Map keeps the order of insertion: what was not used for longest goes first. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  for (const oldest of map.keys()) {
    if (map.size <= maxRemembered) break;
    map.delete(oldest);
  }
}
