//go:build tools

// Package tools keeps the helm command in go.mod when `go mod tidy` runs.
// It is never compiled.
package tools

import (
	_ "helm.sh/helm/v4/cmd/helm"
)
