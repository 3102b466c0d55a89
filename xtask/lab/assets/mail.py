"""An SMTP server that prints what it was sent, and a client: `mail.py serve PORT`, `mail.py send HOST PORT`."""

import smtplib
import sys
import time

from aiosmtpd.controller import Controller

TEXT = "Subject: from the lab\r\n\r\n" + "line of text\r\n" * 2000


class Printer:
    async def handle_DATA(self, server, session, envelope):
        print(f"from {envelope.mail_from} to {','.join(envelope.rcpt_tos)}: {len(envelope.content)}", flush=True)
        return "250 taken"


def main():
    if sys.argv[1] == "serve":
        Controller(Printer(), hostname="", port=int(sys.argv[2]), server_hostname="mail").start()
        while True:
            time.sleep(60)
    with smtplib.SMTP(sys.argv[2], int(sys.argv[3]), local_hostname="client", timeout=20) as client:
        assert client.ehlo()[0] == 250
        refused = client.sendmail("a@lab.test", ["b@lab.test", "c@lab.test"], TEXT)
        assert refused == {}, refused
    print(f"ok {len(TEXT)}")


if __name__ == "__main__":
    main()
