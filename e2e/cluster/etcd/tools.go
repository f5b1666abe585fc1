//go:build tools

// Package tools keeps the etcd server in go.mod when `go mod tidy` runs.
// It is never compiled.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
