//go:build tools

// Package tools keeps the kwok command in go.mod when `go mod tidy` runs.
// It is never compiled.
package tools

import (
	_ "sigs.k8s.io/kwok/cmd/kwok"
)
