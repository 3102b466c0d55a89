"""Asks a Workload API as any program on py-spiffe does, and says what came of each case: `passed NAME: …` or `FAILED NAME: …`."""

import sys
import threading

from spiffe import JwtSource, JwtSvid, SpiffeId, TrustDomain, WorkloadApiClient, X509Source

SOCKET, ID = sys.argv[1:3]
DOMAIN = TrustDomain(ID.removeprefix("spiffe://").split("/")[0])


def x509_svid():
    with WorkloadApiClient(SOCKET) as client:
        svid = client.fetch_x509_svid(timeout=20)
    assert str(svid.spiffe_id) == ID, f"it is of {svid.spiffe_id}"
    return f"{svid.spiffe_id}, a chain of {len(svid.cert_chain)}"


def x509_bundles():
    with WorkloadApiClient(SOCKET) as client:
        bundle = client.fetch_x509_bundles(timeout=20).get_bundle_for_trust_domain(DOMAIN)
    assert bundle is not None, "there is none of our trust domain"
    return f"{len(bundle.x509_authorities)} roots"


def jwt_svid():
    with WorkloadApiClient(SOCKET) as client:
        svid = client.fetch_jwt_svid({"orders"}, timeout=20)
        valid = client.validate_jwt_svid(svid.token, "orders", timeout=20)
        bundle = client.fetch_jwt_bundles(timeout=20).get_bundle_for_trust_domain(DOMAIN)
    JwtSvid.parse_and_validate(svid.token, bundle, {"orders"})
    assert str(svid.spiffe_id) == ID and str(valid.spiffe_id) == ID, f"{svid.spiffe_id}, {valid.spiffe_id}"
    return f"until {svid.expiry}"


def jwt_for_another():
    with WorkloadApiClient(SOCKET) as client:
        token = client.fetch_jwt_svid({"orders"}, timeout=20).token
        for refused in (
            lambda: client.validate_jwt_svid(token, "somebody", timeout=20),
            lambda: client.fetch_jwt_svid({"orders"}, subject=SpiffeId(f"spiffe://{DOMAIN.name}/ns/o/sa/o"), timeout=20),
        ):
            try:
                refused()
            except Exception:
                continue
            raise AssertionError("what is for another was given")
    return "refused"


def jwt_source():
    with JwtSource(socket_path=SOCKET, timeout_in_seconds=20) as source:
        bundle = source.get_bundle_for_trust_domain(DOMAIN)
    assert bundle is not None and len(bundle.jwt_authorities) >= 1, "it has no keys"
    return f"{len(bundle.jwt_authorities)} keys"


def rotation():
    came = threading.Event()
    with X509Source(socket_path=SOCKET, timeout_in_seconds=20) as source:
        first = source.svid.leaf.serial_number

        def updated():
            if source.svid.leaf.serial_number != first:
                came.set()

        source.subscribe_for_updates(updated)
        assert came.wait(90), "no other certificate came"
        assert str(source.svid.spiffe_id) == ID, f"it is of {source.svid.spiffe_id}"
    return "another certificate"


def main():
    failed = False
    cases = {
        "x509-svid": x509_svid,
        "x509-bundles": x509_bundles,
        "jwt-svid": jwt_svid,
        "jwt-for-another": jwt_for_another,
        "jwt-bundles": jwt_source,
        "rotation": rotation,
    }
    for name, case in cases.items():
        try:
            print(f"passed {name}: {case()}", flush=True)
        except Exception as error:  # Whatever a library raises is the case's failure.
            failed = True
            print(f"FAILED {name}: {type(error).__name__}: {error}", flush=True)
    sys.exit(1 if failed else 0)


main()
