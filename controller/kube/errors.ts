/** What callers branch on. The API server's own `reason` is kept beside it. */
export type ApiErrorCode =
  | 'BadRequest'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'MethodNotAllowed'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Invalid'
  | 'TooManyRequests'
  | 'ServerError'
  /** No answer in time, ours or the server's own limit. */
  | 'Timeout'
  /** No connection, or one that was cut. */
  | 'Unreachable'
  /** The caller's signal fired. */
  | 'Aborted';

/** metav1.Status, as far as anybody reads it. */
export interface Status {
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: StatusDetails;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly { readonly reason?: string; readonly message?: string; readonly field?: string }[];
  readonly retryAfterSeconds?: number;
}

export interface ApiErrorFields {
  readonly code: ApiErrorCode;
  readonly message: string;
  /** `GET /api/v1/…`, for the reader of a log. */
  readonly path: string;
  /** 0 where no answer came. */
  readonly status: number;
  readonly reason?: string;
  readonly details?: StatusDetails;
  readonly maybeHappened: boolean;
  readonly retryAfterMs?: number;
  readonly cause?: unknown;
}

/** Every failure of a call to the API server. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly code: ApiErrorCode;
  readonly status: number;
  readonly reason: string;
  readonly path: string;
  readonly details: StatusDetails;
  /** A write of which nobody knows whether it was done: read before you write again. */
  readonly maybeHappened: boolean;
  readonly retryAfterMs: number | undefined;

  constructor(fields: ApiErrorFields) {
    super(`${fields.path}: ${fields.message}`, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.code = fields.code;
    this.status = fields.status;
    this.reason = fields.reason ?? '';
    this.path = fields.path;
    this.details = fields.details ?? {};
    this.maybeHappened = fields.maybeHappened;
    this.retryAfterMs = fields.retryAfterMs;
  }
}

export function isApiError(error: unknown, ...codes: readonly ApiErrorCode[]): error is ApiError {
  return error instanceof ApiError && (codes.length === 0 || codes.includes(error.code));
}

const codesByStatus: Readonly<Record<number, ApiErrorCode>> = {
  400: 'BadRequest',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'MethodNotAllowed',
  408: 'Timeout',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  504: 'Timeout',
};

/** Two reasons share 409: only one of them says that the name is taken. */
export function errorCode(httpStatus: number, reason: string | undefined): ApiErrorCode {
  if (reason === 'AlreadyExists') return 'AlreadyExists';
  return codesByStatus[httpStatus] ?? (httpStatus >= 500 ? 'ServerError' : 'BadRequest');
}
