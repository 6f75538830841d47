import type { IPod } from 'kubernetes-models/v1/Pod';

/** A Pod as a ReplicaSet makes it after defaulting: probes, resources, environment and a mounted ConfigMap per container. */
export function benchPod(containers: number): IPod {
  const names = Array.from({ length: containers }, (_, index) => `c${index}`);
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      generateName: 'bench-5d4f8c7b9-',
      namespace: 'bench',
      labels: { app: 'bench', 'pod-template-hash': '5d4f8c7b9' },
      annotations: { 'podsplit.io/mode': 'split' },
    },
    spec: {
      containers: names.map((name, index) => ({
        name,
        image: `registry.invalid/${name}:1`,
        ports: [{ name: `p${index}`, containerPort: 8000 + index, protocol: 'TCP' }],
        env: Array.from({ length: 10 }, (_, variable) => ({ name: `VARIABLE_${variable}`, value: 'some value' })),
        resources: { requests: { cpu: '100m', memory: '64Mi' }, limits: { cpu: '1', memory: '128Mi' } },
        readinessProbe: { httpGet: { path: '/healthz', port: `p${index}` }, periodSeconds: 10 },
        volumeMounts: [{ name: `config-${name}`, mountPath: '/etc/config', readOnly: true }],
      })),
      volumes: names.map((name) => ({ name: `config-${name}`, configMap: { name } })),
      restartPolicy: 'Always',
      serviceAccountName: 'default',
    },
  };
}
