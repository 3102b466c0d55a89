//go:build tools

// Package suites pins the programs that `cargo xtask suites` builds and runs: their versions are those of go.mod and go.sum
// beside this file, and of nothing else.
package suites

import (
	_ "github.com/summerwind/h2spec/cmd/h2spec"
	_ "google.golang.org/grpc/interop/client"
	_ "google.golang.org/grpc/interop/server"
)
