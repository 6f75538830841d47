import { expect } from 'chai';
import { maxListening, type Listening } from '../rules/observe.ts';
import { parseListening, stillListening } from './listening.ts';

describe('what a piece listens at', () => {
  it('is read of ss: at every address, or on loopback', () => {
    const listed = `
udp   UNCONN 0      0                 127.0.0.1:8125       0.0.0.0:*
udp   UNCONN 0      0                   0.0.0.0:41234      0.0.0.0:*
udp   UNCONN 0      0                10.244.1.5:5353       0.0.0.0:*
tcp   LISTEN 0      128               127.0.0.1:8081       0.0.0.0:*
tcp   LISTEN 0      128            127.0.0.1%lo:8082       0.0.0.0:*
tcp   LISTEN 0      511                       *:8080             *:*
tcp   LISTEN 0      511                    [::]:8080          [::]:*
tcp   LISTEN 0      1                     [::1]:40000         [::]:*
tcp   LISTEN 0      1              10.244.1.5:9999       0.0.0.0:*
`;
    expect(parseListening(listed).map(({ protocol, port }) => `${port}/${protocol}`)).to.deep.equal([
      '8080/tcp',
      '8081/tcp',
      '8082/tcp',
      '40000/tcp',
      '8125/udp',
    ]);
    expect(parseListening('')).to.deep.equal([]);
  });

  it('stays, for a connection outlives the socket that took it, unless another piece took over', () => {
    expect(stillListening(tcp(1, 2), tcp(2, 3), tcp(9))).to.deep.equal(tcp(1, 2, 3));
    expect(stillListening(tcp(1, 2), tcp(2), tcp(1))).to.deep.equal(tcp(2));
    expect(stillListening(tcp(1), tcp(1), tcp(1)), 'both: who is meant is not for us to say').to.deep.equal(tcp(1));
  });

  it('keeps what came first where somebody listens everywhere', () => {
    const many = tcp(...Array.from({ length: 500 }, (_, i) => i + 1));
    const found = stillListening(tcp(8080), many, []);
    expect(found).to.have.length(maxListening);
    expect(found).to.deep.include({ protocol: 'tcp', port: 8080 });
  });
});

function tcp(...ports: number[]): readonly Listening[] {
  return ports.map((port) => ({ protocol: 'tcp', port }));
}
