package gotest

// A Selection says which tests of a package run, and how; the fields are the
// flags of `go test`.
type Selection struct {
	Run, Skip, Bench string
	Count            int // 0 is 1
	Short            bool
	Verbose          bool
	Args             []string // after the flags
}

// Flags are the arguments of a test binary that make the selection and give
// its output the framing that Decoder reads.
func (s Selection) Flags() []string { return nil }

// Plan returns the names of the top-level tests, examples, fuzz tests (their
// seeds) and benchmarks of p that s selects, sorted, without running anything.
func (s Selection) Plan(p Package) ([]string, error) { return nil, nil }
