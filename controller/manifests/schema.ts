import { isRecord } from '../api/json.ts';
import { didYouMean } from '../api/nearest.ts';

/** JSON Schema, as far as values need it. */
export interface Schema {
  readonly $schema?: string;
  readonly title?: string;
  readonly description?: string;
  readonly type?: 'object' | 'array' | 'string' | 'integer' | 'boolean' | readonly ['integer', 'string'];
  readonly enum?: readonly string[];
  readonly minimum?: number;
  readonly minLength?: number;
  readonly pattern?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: boolean | Schema;
}

/** All that does not fit, each with the field's path, what was read and what is allowed. */
export function misfits(value: unknown, schema: Schema, path = ''): readonly string[] {
  const say = (allowed: string) => [`${path === '' ? 'the file' : path}: is ${JSON.stringify(value)}; ${allowed}`];
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  if (types.length > 0 && !types.some((each) => isOf(value, each))) return say(`needed: ${types.join(' or ')}.`);
  const limit = limitOf(value, schema);
  if (limit !== undefined) return say(limit);
  if (Array.isArray(value)) {
    return value.flatMap((item: unknown, index) => misfits(item, schema.items ?? {}, `${path}[${index}]`));
  }
  return isRecord(value) ? fieldMisfits(value, schema, path) : [];
}

/** What is asked of a value of the right type, where it is not so. */
function limitOf(value: unknown, schema: Schema): string | undefined {
  const { enum: allowed, minLength = 0, pattern, minimum = -Infinity } = schema;
  if (typeof value === 'number') return value < minimum ? `at least ${minimum}.` : undefined;
  if (typeof value !== 'string') return undefined;
  if (allowed !== undefined && !allowed.includes(value)) return `allowed are ${allowed.join(', ')}.`;
  if (value.length < minLength) return 'it may not be empty.';
  return pattern === undefined || new RegExp(pattern).test(value) ? undefined : `it has to match ${pattern}.`;
}

function fieldMisfits(value: Readonly<Record<string, unknown>>, schema: Schema, path: string): readonly string[] {
  const { properties = {}, additionalProperties = true } = schema;
  return Object.entries(value).flatMap(([name, field]) => {
    const where = path === '' ? name : `${path}.${name}`;
    const known = Object.hasOwn(properties, name) ? properties[name] : undefined;
    if (known !== undefined) return misfits(field, known, where);
    if (additionalProperties === true) return [];
    if (additionalProperties !== false) return misfits(field, additionalProperties, where);
    const allowed = Object.keys(properties);
    return [`${where}: there is no such value; allowed are ${allowed.join(', ')}.${didYouMean(name, allowed)}`];
  });
}

function isOf(value: unknown, type: string): boolean {
  if (type === 'object') return isRecord(value);
  if (type === 'array') return Array.isArray(value);
  return type === 'integer' ? Number.isInteger(value) : typeof value === type;
}
