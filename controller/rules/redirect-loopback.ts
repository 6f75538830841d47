import type { Model } from './model.ts';
import type { Chain, NamedSet } from './nft.ts';
import type { Both } from './redirect-names.ts';

/** Nobody listens there yet, or not any more: whom else would the piece have called? */
export function ownPortsSet({ ownPorts }: Model): NamedSet {
  return {
    name: 'own_ports',
    type: 'inet_proto . inet_service',
    kind: 'set',
    elements: ownPorts,
    comment: 'ports that this piece serves itself, as far as that is declared',
  };
}

/**
 * A call to the own loopback, or to the own Pod IP, at a port of no flow stays here, and where nobody listens the kernel
 * refuses it. In one Pod another container may have listened there, so it is recorded as what the rules drop is. Nothing is
 * decided by it, and only what really leaves by `lo` comes here: a redirected call says `net1` in POSTROUTING.
 */
export function loopbackChains(both: Both): readonly Chain[] {
  const quoted = 'ct original protocol . ct original proto-dst';
  // The answer goes to the caller, from what it called.
  const ends = (ip: string): string => `oifname . ${ip} daddr . ${ip} saddr`;
  const answer = (ip: string): string => `${ends(ip)} . meta l4proto . th sport`;
  return [
    {
      name: 'lo_out',
      comment: 'inside of this piece: all of it passes, and what the kernel refuses is recorded',
      rules: [
        'tcp flags & (syn|ack) == (syn|ack) goto lo_answered',
        'tcp flags & (rst|ack) != (rst|ack) accept',
        // What answers a segment without ACK (RFC 9293, 3.10.7.1): the reset of an open connection has a number of its own.
        ...both(({ n, ip }) => [
          `tcp sequence 0 ${ip} saddr @called${n} meta l4proto . th sport != @own_ports goto lo_refused`,
        ]),
        // About the caller's datagram: an error about an answer goes the other way.
        ...both(({ n, ip, portUnreachable }) => [
          `${portUnreachable} ct state related ct direction reply ` +
            `${ip} saddr @called${n} ${quoted} != @own_ports goto lo_refused`,
        ]),
        'accept',
      ],
    },
    {
      name: 'lo_answered',
      comment: 'who tries its own port until it is open was early, and nobody else was meant',
      rules: [
        ...both(({ nfproto, n, ip }) => [`meta nfproto ${nfproto} delete @tried${n} { ${answer(ip)} }`]),
        'accept',
      ],
    },
    {
      name: 'lo_refused',
      comment: 'nobody listens here, and no flow leads elsewhere',
      rules: ['counter name refused_loopback', 'limit rate 50/second burst 50 packets jump note_refused', 'accept'],
    },
    {
      name: 'note_refused',
      comment: 'record it, at a bounded rate',
      rules: both(({ n, ip, nfproto, icmp }) => [
        `meta nfproto ${nfproto} meta l4proto tcp update @tried${n} { ${answer(ip)} counter }`,
        `meta l4proto ${icmp} update @tried${n} { ${ends(ip)} . ${quoted} counter }`,
      ]),
    },
  ];
}
