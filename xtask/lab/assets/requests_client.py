"""Python's requests against the echoing server: kept connections, an upload, a chunked upload, an error. Prints "ok"."""

import hashlib
import sys

import requests

UPLOAD = b"0123456789abcdef" * 65536


def main():
    url = sys.argv[1]
    host = url.removeprefix("http://")
    with requests.Session() as session:
        for number in range(30):
            answer = session.get(f"{url}/{number}", timeout=20)
            assert answer.status_code == 200, answer.status_code
            assert answer.text == f"GET {host} /{number}\n", answer.text
        want = f"{len(UPLOAD)} {hashlib.sha256(UPLOAD).hexdigest()}\n"
        assert session.post(f"{url}/up", data=UPLOAD, timeout=20).text == want
        pieces = (UPLOAD[start : start + 10_000] for start in range(0, len(UPLOAD), 10_000))
        assert session.post(f"{url}/up", data=pieces, timeout=20).text == want
        assert session.get(f"{url}/missing", timeout=20).status_code == 404
    print("ok")


if __name__ == "__main__":
    main()
