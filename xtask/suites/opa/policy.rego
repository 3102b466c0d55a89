# What the suite's authorization service says, by who calls (its certificate), the method, the path, a header and the body.
package mesh

import rego.v1

default decision := {"allowed": false, "http_status": 403, "body": "no rule of the policy allows it\n"}

http := input.attributes.request.http

decision := {
	"allowed": true,
	"headers": {"x-decided-by": "opa", "x-seen-path": http.path},
	"request_headers_to_remove": ["x-secret"],
	"response_headers_to_add": {"x-checked": "yes"},
} if {
	http.method == "GET"
	http.headers["x-user"] == "ann"
	input.attributes.source.principal == "spiffe://suites.local/ns/suites/sa/asking"
}

decision := {
	"allowed": false,
	"http_status": 401,
	"headers": {"www-authenticate": "Bearer"},
	"body": "who are you\n",
} if {
	not http.headers["x-user"]
}

# Of a body that is sent along: base64, as JSON has bytes.
decision := {"allowed": true} if {
	http.method == "POST"
	http.headers["x-user"] == "ann"
	base64.decode(http.rawBody) == "pay 1"
}
