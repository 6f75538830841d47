import { isRecord } from '../api/json.ts';
import type { JsonPatchOperation } from '../split/cut.ts';

/** `admission.k8s.io/v1` AdmissionRequest, as far as anybody here reads it. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly kind: string;
  readonly operation: string;
  readonly subResource: string;
  readonly namespace: string;
  readonly object: unknown;
  readonly oldObject: unknown;
}

export type Answer = Allowed | Denied;

interface Answered {
  /** For metrics: a word from a short list. */
  readonly decision: string;
  /** Stable codes: of the refusals, or why it was left alone. */
  readonly codes: readonly string[];
}

export interface Allowed extends Answered {
  readonly kind: 'allowed';
  readonly patch: readonly JsonPatchOperation[];
  readonly warnings: readonly string[];
}

export interface Denied extends Answered {
  readonly kind: 'denied';
  readonly status: 403 | 422 | 500;
  readonly message: string;
}

/** Answers a review. May throw: the server denies then. */
export type Reviewer = (request: AdmissionRequest) => Answer | Promise<Answer>;

export type ParsedReview =
  | { readonly kind: 'request'; readonly request: AdmissionRequest }
  | { readonly kind: 'invalid'; readonly message: string };

const apiVersion = 'admission.k8s.io/v1';

export function parseReview(body: string): ParsedReview {
  const invalid = (message: string): ParsedReview => ({ kind: 'invalid', message });
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch (error) {
    return invalid(`The body is not JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isRecord(review) || review['apiVersion'] !== apiVersion || review['kind'] !== 'AdmissionReview') {
    return invalid(`Must be an AdmissionReview of ${apiVersion}.`);
  }
  const { request } = review;
  if (!isRecord(request)) return invalid('request: Must be an object.');
  const { uid, kind, operation } = request;
  if (typeof uid !== 'string' || uid === '') return invalid('request.uid: Must be a string.');
  if (!isRecord(kind) || typeof kind['kind'] !== 'string') return invalid('request.kind.kind: Must be a string.');
  if (typeof operation !== 'string') return invalid('request.operation: Must be a string.');
  const { subResource, namespace, object, oldObject } = request;
  return {
    kind: 'request',
    request: {
      uid,
      kind: kind['kind'],
      operation,
      subResource: typeof subResource === 'string' ? subResource : '',
      namespace: typeof namespace === 'string' ? namespace : '',
      object,
      oldObject,
    },
  };
}

/** The AdmissionReview that carries the answer. Without the request's uid the API server would drop it. */
export function formatReview(uid: string, answer: Answer): object {
  return { apiVersion, kind: 'AdmissionReview', response: { uid, ...response(answer) } };
}

/** `reason` is what kubectl puts in brackets: Error from server (Invalid). */
const statusReasons: Readonly<Record<Denied['status'], string>> = {
  403: 'Forbidden',
  422: 'Invalid',
  500: 'InternalError',
};

function response(answer: Answer): object {
  if (answer.kind === 'denied') {
    const { status, message } = answer;
    return { allowed: false, status: { status: 'Failure', code: status, reason: statusReasons[status], message } };
  }
  const { patch, warnings } = answer;
  return {
    allowed: true,
    ...(patch.length === 0
      ? {}
      : { patchType: 'JSONPatch', patch: Buffer.from(JSON.stringify(patch)).toString('base64') }),
    ...(warnings.length === 0 ? {} : { warnings }),
  };
}

/** Nothing to say, nothing to change. */
export function unchanged(code: string): Allowed {
  return { kind: 'allowed', decision: 'unchanged', codes: [code], patch: [], warnings: [] };
}
