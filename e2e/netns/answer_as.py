"""Waits for a client's next data to PORT, seen by a packet socket on eth0, and answers it by a raw IPv4 socket as that port.

answer_as.py OWN_ADDRESS PORT        prints "ready", then what became of the answer: "sent", or the error's name
"""
import errno
import socket
import struct
import sys

own, port = sys.argv[1], int(sys.argv[2])
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
sniffer.bind(("eth0", 0))
sniffer.settimeout(10)
print("ready", flush=True)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


while True:
    packet = sniffer.recv(65535)
    head = (packet[0] & 15) * 4
    client = packet[12:16]
    segment = packet[head : struct.unpack("!H", packet[2:4])[0]]
    if packet[9] != 6 or packet[16:20] != socket.inet_aton(own):
        continue
    from_port, to_port, seq, ack, offset = struct.unpack("!HHIIB", segment[:13])
    data = segment[(offset >> 4) * 4 :]
    if to_port == port and data:
        break
answer = b'{"server":"forged","peer":["",0],"local":["",0]}\n'
answer += b" " * (len(answer) % 2)
header = struct.pack("!HHIIBBHHH", port, from_port, ack, (seq + len(data)) & 0xFFFFFFFF, 0x50, 0x18, 512, 0, 0)
pseudo = socket.inet_aton(own) + client + struct.pack("!BBH", 0, 6, len(header) + len(answer))
header = header[:16] + struct.pack("!H", checksum(pseudo + header + answer)) + header[18:]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
raw.bind((own, 0))
try:
    raw.sendto(header + answer, (socket.inet_ntoa(client), 0))
    print("sent")
except OSError as error:
    print(errno.errorcode[error.errno])
