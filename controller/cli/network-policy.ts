import type { INetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy';
import { isRecord } from '../api/json.ts';

/** Has it the shape of all that the mirrors read? The rest is copied as it is. */
export function isNetworkPolicy(value: unknown): value is INetworkPolicy {
  if (!isRecord(value) || !isRecord(value['spec'])) return false;
  const { podSelector, policyTypes, egress, ingress = [] } = value['spec'];
  if (!isSelector(podSelector ?? {}) || !isTextList(policyTypes ?? []) || !Array.isArray(egress ?? [])) return false;
  return Array.isArray(ingress) && ingress.every(isIngressRule);
}

function isIngressRule(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { from } = value;
  return Array.isArray(from ?? []) && (!Array.isArray(from) || from.every(isPeer));
}

function isPeer(value: unknown): boolean {
  return isRecord(value) && isSelector(value['podSelector'] ?? {}) && isSelector(value['namespaceSelector'] ?? {});
}

function isSelector(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { matchLabels = {}, matchExpressions = [] } = value;
  return (
    isRecord(matchLabels) &&
    Object.values(matchLabels).every((label) => typeof label === 'string') &&
    Array.isArray(matchExpressions) &&
    matchExpressions.every(isExpression)
  );
}

function isExpression(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { key, operator, values = [] } = value;
  return typeof key === 'string' && typeof operator === 'string' && isTextList(values);
}

function isTextList(value: unknown): boolean {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}
