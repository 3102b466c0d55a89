"""Calls greeter.py in every way that gRPC has and prints what it saw as one JSON object of booleans.

Usage: caller.py HOST:PORT. The mesh is found through the environment (http_proxy), as any gRPC program finds it.
"""

import json
import sys
import threading

import grpc

CALLS = 100


def main():
    channel = grpc.insecure_channel(sys.argv[1])
    path = "/test.Greeter/"
    unary = channel.unary_unary(path + "Hello")
    unary(b"first", wait_for_ready=True, timeout=60)
    seen = {}

    answers = [unary(str(number).encode(), timeout=20) for number in range(CALLS)]
    seen["unary"] = answers == [b"Hello " + str(number).encode() for number in range(CALLS)]

    _, call = unary.with_call(b"x", timeout=20)
    seen["metadata"] = ("x-greeter", "initial") in [tuple(pair) for pair in call.initial_metadata()] and (
        "x-greeter-end",
        "trailing",
    ) in [tuple(pair) for pair in call.trailing_metadata()]

    counted = list(channel.unary_stream(path + "Count")(b"500", timeout=20))
    seen["server_stream"] = counted == [str(number).encode() for number in range(500)]

    chunks = [b"x" * 60_000] * 50
    seen["client_stream"] = channel.stream_unary(path + "Total")(iter(chunks), timeout=20) == b"3000000"

    seen["both_ways"] = echo_one_by_one(channel, path)

    try:
        channel.unary_unary(path + "Fail")(b"", timeout=20)
        seen["error"] = False
    except grpc.RpcError as error:
        seen["error"] = (
            error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "not today: 100 % ünlucky"
        )

    try:
        channel.unary_unary(path + "Slow")(b"", timeout=0.5)
        seen["deadline"] = False
    except grpc.RpcError as error:
        seen["deadline"] = error.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    try:
        channel.unary_unary(path + "Unknown")(b"", timeout=20)
        seen["unknown_method"] = False
    except grpc.RpcError as error:
        seen["unknown_method"] = error.code() == grpc.StatusCode.UNIMPLEMENTED

    channel.close()
    print(json.dumps(seen))


def echo_one_by_one(channel, path):
    """Each message is sent only when the answer to the one before has come: nothing on the way may hold it back."""
    answered = []
    changed = threading.Condition()

    def messages():
        for number in range(20):
            yield f"word {number}".encode()
            with changed:
                if not changed.wait_for(lambda: len(answered) > number, timeout=20):
                    return

    for answer in channel.stream_stream(path + "Echo")(messages(), timeout=60):
        with changed:
            answered.append(answer)
            changed.notify_all()
    return answered == [f"WORD {number}".encode() for number in range(20)]


if __name__ == "__main__":
    main()
