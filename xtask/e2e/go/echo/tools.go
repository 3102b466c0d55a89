//go:build tools

// Package echo pins the programs of the image that the mesh tests of Gateway API use.
package echo

import (
	_ "istio.io/istio/pkg/test/echo/cmd/client"
	_ "istio.io/istio/pkg/test/echo/cmd/server"
)
