export type Variables = Readonly<Record<string, string | undefined>>;

/** Environment variables, read one by one: all that is wrong is said together, each with what it is and what is allowed. */
export class Environment {
  readonly problems: string[] = [];
  private readonly variables: Variables;

  constructor(variables: Variables) {
    this.variables = variables;
  }

  text(name: string, otherwise: string): string {
    return this.variables[name] ?? otherwise;
  }

  /** @param remedy what to do where it is missing or empty */
  needed(name: string, remedy: string): string {
    const value = this.text(name, '');
    if (value === '') this.problems.push(`${name}: is missing; ${remedy}`);
    return value;
  }

  /** The first is the default. */
  oneOf<T extends string>(name: string, allowed: readonly [T, ...(readonly T[])]): T {
    const text = this.text(name, allowed[0]);
    const found = allowed.find((value) => value === text);
    return found ?? this.wrong(name, `allowed are ${allowed.join(', ')}`, allowed[0]);
  }

  /** A port, or as many of something as there are ports. */
  whole(name: string, otherwise: number): number {
    const number = Number(this.text(name, String(otherwise)));
    if (Number.isInteger(number) && number >= 1 && number <= 65535) return number;
    return this.wrong(name, 'a whole number from 1 to 65535 is needed', otherwise);
  }

  /** A time in seconds, in ms. */
  seconds(name: string, otherwise: number): number {
    const value = Number(this.text(name, String(otherwise)));
    if (Number.isFinite(value) && value >= 1 && value <= 3600) return value * 1000;
    return this.wrong(name, 'a number of seconds from 1 to 3600 is needed', otherwise * 1000);
  }

  private wrong<T>(name: string, needed: string, otherwise: T): T {
    this.problems.push(`${name}: is ${JSON.stringify(this.variables[name])}; ${needed}.`);
    return otherwise;
  }

  /** @throws ConfigError that names every variable that is wrong */
  expectSound(): void {
    if (this.problems.length > 0) throw new ConfigError(this.problems.join('\n'));
  }
}

export class ConfigError extends Error {
  readonly code = 'InvalidConfiguration';
}
