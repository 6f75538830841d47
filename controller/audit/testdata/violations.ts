import { isRecord } from '../../api/json.ts';
import type { Schema } from '../schema.ts';

/** What of a JSON value is not as the schema says; the keywords are those of `Schema`. */
export function violations(schema: Schema, value: unknown, path = '$'): readonly string[] {
  const here = [
    ...(schema.type === undefined || isOfType(schema.type, value) ? [] : [`${path}: is no ${schema.type}`]),
    ...(schema.const === undefined || schema.const === value ? [] : [`${path}: is not ${schema.const}`]),
    ...(schema.enum === undefined || schema.enum.some((each) => each === value) ? [] : [`${path}: is none of the values`]),
    ...(schema.minimum !== undefined && typeof value === 'number' && value < schema.minimum ? [`${path}: is too small`] : []),
  ];
  if (Array.isArray(value)) {
    const items: readonly unknown[] = value;
    const { items: item } = schema;
    return [
      ...here,
      ...(schema.minItems !== undefined && items.length < schema.minItems ? [`${path}: has too few items`] : []),
      ...(item === undefined ? [] : items.flatMap((each, index) => violations(item, each, `${path}[${index}]`))),
    ];
  }
  if (!isRecord(value)) return here;
  const { properties = {} } = schema;
  return [
    ...here,
    ...(schema.required ?? []).filter((name) => !Object.hasOwn(value, name)).map((name) => `${path}.${name}: is missing`),
    ...Object.entries(value).flatMap(([name, member]) => {
      const property = Object.hasOwn(properties, name) ? properties[name] : undefined;
      if (property !== undefined) return violations(property, member, `${path}.${name}`);
      return schema.additionalProperties === false ? [`${path}.${name}: is not in the schema`] : [];
    }),
  ];
}

function isOfType(type: NonNullable<Schema['type']>, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isRecord(value);
    case 'array':
      return Array.isArray(value);
    case 'integer':
      return Number.isInteger(value);
    case 'string':
      return typeof value === 'string';
  }
}
