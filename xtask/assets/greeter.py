"""A gRPC server with every kind of call, without generated code: messages are plain bytes.

Usage: greeter.py PORT
"""

import signal
import sys
import time
from concurrent import futures

import grpc


def hello(request, context):
    """Unary: greets, and sends metadata before and after."""
    context.send_initial_metadata((("x-greeter", "initial"),))
    context.set_trailing_metadata((("x-greeter-end", "trailing"),))
    return b"Hello " + request


def count(request, context):
    """Server stream: as many messages as the request says."""
    for number in range(int(request)):
        yield str(number).encode()


def total(requests, context):
    """Client stream: how many bytes came."""
    return str(sum(len(request) for request in requests)).encode()


def echo(requests, context):
    """Streams both ways: each message comes back at once."""
    for request in requests:
        yield request.upper()


def fail(request, context):
    """An error with a text that needs escaping on the wire."""
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not today: 100 % ünlucky")


def slow(request, context):
    """Longer than the caller wants to wait."""
    for _ in range(200):
        if not context.is_active():
            break
        time.sleep(0.05)
    return b"late"


def main():
    port = sys.argv[1]
    host = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1"
    unary = grpc.unary_unary_rpc_method_handler
    handlers = {
        "Hello": unary(hello),
        "Fail": unary(fail),
        "Slow": unary(slow),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Total": grpc.stream_unary_rpc_method_handler(total),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Greeter", handlers),))
    server.add_insecure_port(f"{host}:{port}")
    server.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop(2))
    server.wait_for_termination()


if __name__ == "__main__":
    main()
