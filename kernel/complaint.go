package kernel

import (
	"fmt"
	"regexp"
)

// A Complaint is what a tool says of the source, not of the running kernel.
type Complaint struct {
	Tool string `json:"tool"` // "checkpatch", "sparse"
	// Type is "WARNING:LONG_LINE", "warning".
	Type string `json:"type"`
	// File and Line are where it stands; "" and 0 when it is about the mail.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
	Text string `json:"text"`
}

// String is "checkpatch  WARNING:LONG_LINE  fs/a.c:12: line length of 120 exceeds 100 columns".
func (c Complaint) String() string {
	at := ""
	if c.File != "" {
		at = fmt.Sprintf("%s:%d: ", c.File, c.Line)
	}
	return fmt.Sprintf("%s  %s  %s%s", c.Tool, c.Type, at, c.Text)
}

// IsError says that c is what a compiler would fail on, too.
func (c Complaint) IsError() bool { return c.Tool == "sparse" && c.Type == "error" }

// maxComplaints bounds those of one tool on one patch.
const maxComplaints = 1000

var numbers = regexp.MustCompile(`[0-9]+`)

// New returns the complaints of after that before has not: lines may have
// moved, so that numbers do not count.
func New(before, after []Complaint) []Complaint {
	key := func(c Complaint) string {
		return c.Tool + "\x00" + c.Type + "\x00" + c.File + "\x00" + numbers.ReplaceAllString(c.Text, "#")
	}
	had := map[string]int{}
	for _, c := range before {
		had[key(c)]++
	}
	var fresh []Complaint
	for _, c := range after {
		if k := key(c); had[k] > 0 {
			had[k]--
			continue
		}
		fresh = append(fresh, c)
	}
	return fresh
}
