import pino from 'pino';

export type Logger = pino.Logger;

export interface LogOptions {
  /** Default: LOG_LEVEL from the environment, else `info`. */
  readonly level?: string;
  /** Fields of every line. */
  readonly bindings?: Readonly<Record<string, string>>;
}

/** JSON, one line an entry, on stdout. Level names and ISO times: people read these with kubectl and grep. */
export function createLogger(options: LogOptions = {}): Logger {
  return pino({
    level: options.level ?? levelFrom(process.env['LOG_LEVEL']),
    base: options.bindings ?? {},
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
  });
}

const levels: readonly string[] = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'];

/** pino throws at an unknown level: a typing mistake in a manifest is no reason not to start. */
function levelFrom(text: string | undefined): string {
  const level = text?.toLowerCase() ?? 'info';
  return levels.includes(level) ? level : 'info';
}

export const silentLogger: Logger = pino({ level: 'silent' });
