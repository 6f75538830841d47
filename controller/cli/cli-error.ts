/** What kept the command from judging anything: bad usage or unreadable input. Printed without a stack, exit code 2. */
export class CliError extends Error {
  override readonly name = 'CliError';
}
