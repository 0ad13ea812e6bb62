// Package ktap reads the Kernel Test Anything Protocol, version 1, and what
// came before it (TAP 13 and 14, the "# Subtest:" headers of older KUnit, the
// "# " prefix of kselftest's runner), as Documentation/dev-tools/ktap.rst has
// it: lines that are no part of the protocol may stand anywhere and mean
// nothing. Nothing that is read is trusted, and everything is bounded.
package ktap

// The bounds of one Document.
const (
	MaxLine   = 4 << 10 // bytes of a line; the rest of a longer one is dropped
	MaxTests  = 50_000  // results, those of subtests included
	MaxDepth  = 16      // levels of subtests
	MaxName   = 200     // bytes of a Name
	MaxWhy    = 300     // bytes of a Why
	MaxOutput = 8 << 10 // bytes of an Output
	maxKept   = 8 << 20 // bytes of all Outputs
)

// NeverEnded is the Why of a test whose subtests came, and whose result did not.
const NeverEnded = "started and never ended"

// A Status is the outcome of a Test.
type Status string

// The statuses. A test that failed as it was expected to (TODO, XFAIL) counts
// as skipped: it says neither that the kernel is right nor that it is wrong.
const (
	Pass       Status = "pass"
	Fail       Status = "fail"
	Skip       Status = "skip"
	Incomplete Status = "incomplete" // begun, and no result or too few of its subtests' came
)

// A Test is one result, with those of its subtests.
type Test struct {
	// Name is the description, the number where there is none. It is printable,
	// has U+2215 for each "/", and is unique among its siblings: a second "a"
	// is "a#01".
	Name   string
	Status Status
	// Why is what stands behind the directive, or the number sign: one line.
	Why string
	// Output is the end of the lines before the result, at most MaxOutput
	// bytes; empty for a test that passed.
	Output string
	// Line is that of its result in what was read, from 1; 0 without a result.
	Line int
	// Tests are its subtests.
	Tests []Test
}

// A Document is all that one program, or a kernel log, said in the protocol.
// When it has several version lines in a row they are read as one.
type Document struct {
	Tests []Test
	// Line is the last that is part of the protocol, from 1.
	Line int
	// Missing says that results are fewer, or more, than planned: one line.
	Missing string
	// Skipped is the reason behind a plan of nothing, "1..0 # SKIP no such
	// device"; never empty when there is such a plan.
	Skipped string
	// Bail is what followed "Bail out!"; never empty when the program did.
	Bail string
	// Cut says that there were more than MaxTests results.
	Cut bool
}
