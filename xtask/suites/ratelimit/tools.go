//go:build tools

// Package ratelimit pins Envoy's rate limit service, which `cargo xtask suites` has sidecars ask: its version is that of go.mod and
// go.sum beside this file, apart from those of the other suites, since it needs older versions of what they need too.
package ratelimit

import (
	_ "github.com/envoyproxy/ratelimit/src/service_cmd"
)
