//go:build tools

// Package suite pins the conformance suite of Gateway API; `cargo xtask conformance` builds its test binary.
package suite

import _ "sigs.k8s.io/gateway-api/conformance"
