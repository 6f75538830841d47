import { once } from 'node:events';
import { ConfigError, type Variables } from './environment.ts';
import { createLogger, type Logger } from './observability/log.ts';

/**
 * Runs a program that its environment configures. Returns the exit code; what kept it from starting is in its log.
 *
 * @param name as its log says it
 * @param read throws ConfigError where the environment is wrong
 */
export async function runProgram<Config>(
  name: string,
  environment: Variables,
  read: (environment: Variables) => Config,
  run: (config: Config, log: Logger) => Promise<number>,
): Promise<number> {
  const log = createLogger();
  try {
    return await run(read(environment), log);
  } catch (error) {
    if (error instanceof ConfigError) log.fatal({ code: error.code }, error.message);
    else log.fatal({ err: error }, `${name} could not start`);
    return 1;
  }
}

/** SIGTERM from the kubelet, or SIGINT from a terminal. */
export async function untilSignalled(cancelled?: AbortSignal): Promise<string> {
  return Promise.race(
    (['SIGTERM', 'SIGINT'] as const).map(async (name) => {
      await once(process, name, cancelled && { signal: cancelled });
      return name;
    }),
  );
}
