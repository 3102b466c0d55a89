"""An HTTPS server with a certificate of its own: `https.py PORT CERTIFICATE KEY`. It answers with the name that the client asked for (SNI)."""

import http.server
import ssl
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        body = f"secret for {self.connection.asked_for}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def remember(connection, name, _context):
    connection.asked_for = name


def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2], sys.argv[3])
    context.sni_callback = remember
    context.set_alpn_protocols(["http/1.1"])
    server = http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
