"""A TLS client whose ClientHello goes out in pieces of one byte, each a packet of its own: `slow_hello.py HOST PORT CA`. Prints the body."""

import socket
import ssl
import sys


def main():
    host, port, authority = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    context = ssl.create_default_context(cafile=authority)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname=host)
    with socket.create_connection((host, port), timeout=20) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def flush():
            data = outgoing.read()
            for start in range(len(data)):
                raw.sendall(data[start : start + 1])

        def until_done(step):
            while True:
                try:
                    result = step()
                    flush()
                    return result
                except ssl.SSLWantReadError:
                    flush()
                    data = raw.recv(65536)
                    if not data:
                        sys.exit("the connection ended")
                    incoming.write(data)

        until_done(tls.do_handshake)
        until_done(lambda: tls.write(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()))
        answer = b""
        while b"secret for" not in answer or not answer.endswith(b"\n"):
            answer += until_done(lambda: tls.read(65536))
        print(answer.split(b"\r\n\r\n", 1)[1].decode(), end="")


if __name__ == "__main__":
    main()
