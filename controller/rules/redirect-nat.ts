import { priority, type Chain } from './nft.ts';
import { mark, type Both } from './redirect-names.ts';
import { ingressDnat } from './redirect-ingress.ts';
import { ownServiceSnat } from './redirect-own-service.ts';
import { viaDnat } from './redirect-via.ts';

export function natChains(both: Both): readonly Chain[] {
  return [
    {
      name: 'dnat_out',
      base: { type: 'nat', hook: 'output', priority: priority.dnat, policy: 'accept' },
      comment: 'the redirect: a port that is in no flow goes where it went',
      rules: both(({ n, ip, primary, data }) => [
        `${ip} daddr @called${n} dnat ${ip} to meta l4proto . th dport map @redirect${n}`,
        ...(primary || data.podIP === undefined
          ? []
          : [
              `${ip} daddr @primary_pod${n} meta l4proto . th dport @facade${n} dnat ${ip} to ${data.podIP} ` +
                'comment "a sibling calls itself at the Pod\'s address"',
            ]),
      ]),
    },
    {
      name: 'dnat_in',
      base: { type: 'nat', hook: 'prerouting', priority: priority.dnat, policy: 'accept' },
      comment:
        'to loopback, where listeners on 0.0.0.0 and on 127.0.0.1 both get it; the facade to the own eth0 address',
      rules: both((names) => {
        const { n, ip, lo, primary, data } = names;
        return [
          ...ingressDnat(names),
          ...(primary ? [`ct mark ${mark} dnat ${ip} to meta l4proto . th dport map @facade_to${n}`] : []),
          ...(!primary && data.podIP !== undefined
            ? [`iifname "net1" ct mark ${mark} meta nfproto ${nfproto(ip)} dnat ${ip} to ${data.podIP}`]
            : []),
          `iifname "net1" ct mark != ${mark} ${ip} daddr @self${n} meta l4proto . th dport @served${n} dnat ${ip} to ${lo}`,
          ...viaDnat(names),
        ];
      }),
    },
    {
      name: 'snat_in',
      base: { type: 'nat', hook: 'input', priority: priority.snat, policy: 'accept' },
      comment: 'the program sees a client on its own loopback, as in one Pod',
      rules: both(({ ip, lo }) => [`iifname "net1" ${ip} daddr ${lo} snat ${ip} to ${lo}`]),
    },
    {
      name: 'snat_out',
      base: { type: 'nat', hook: 'postrouting', priority: priority.snat, policy: 'accept' },
      comment: 'peers know this piece by its net1 address',
      rules: both((names) => {
        const { n, ip, data } = names;
        if (data.self === undefined) return [];
        return [...ownServiceSnat(names), `oifname "net1" ${ip} saddr @local${n} snat ${ip} to ${data.self}`];
      }),
    },
  ];
}

function nfproto(ip: 'ip' | 'ip6'): string {
  return ip === 'ip' ? 'ipv4' : 'ipv6';
}

export const replyChain: Chain = {
  name: 'facade_reply',
  base: { type: 'route', hook: 'output', priority: priority.mangle, policy: 'accept' },
  comment: 'answers to clients of the facade go back through the primary (ip rule fwmark)',
  rules: [`ct mark ${mark} meta mark set ${mark}`],
};
