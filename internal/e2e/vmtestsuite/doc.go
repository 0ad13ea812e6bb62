// Package vmtestsuite is a small suite written for github.com/hugelgupf/vmtest.
// It knows nothing of runvm; `runvm vmtest` must run it unchanged:
//
//	runvm vmtest -- go test -tags vmtest ./internal/e2e/vmtestsuite
package vmtestsuite
