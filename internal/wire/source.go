package wire

import "embed"

//go:embed *.go
var source embed.FS

// Source returns this package's Go files: PID 1, which imports it, is compiled
// on the user's machine, where there may be no copy of the repository.
func Source() embed.FS { return source }
