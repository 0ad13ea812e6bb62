package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/verdict"
)

// tablePath is where the table of the last full run is kept.
const tablePath = "docs/lkdtm.md"

// tableStart is the line after which stands what -update writes.
const tableStart = "<!-- written by make lkdtm -->"

// A row is a line of the table: what was expected of a type and reported.
type row struct {
	Type, Expected, Reported, Guilty, Why string
}

// TestTableAgreesWithRules reads the table in docs: it has the types that the
// rules know of, and what it says was reported is what they ask for.
func TestTableAgreesWithRules(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", tablePath))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(doc), tableStart)
	seen := 0
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 5 || strings.HasPrefix(line, "|---") || strings.HasPrefix(line, "| type ") {
			continue
		}
		seen++
		kind, expected := strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1])
		reported := verdict.Verdict(strings.Trim(firstWord(cells[2]), "`:"))
		agrees := false
		for _, o := range outcomes(kind) {
			agrees = agrees || o.String() == expected && o.verdict == reported
		}
		if !agrees {
			t.Errorf("%s: %q and %q are not what the rules say: %v", kind, expected, reported, outcomes(kind))
		}
	}
	if seen < 80 {
		t.Errorf("%s has %d types: make lkdtm with -update writes it", tablePath, seen)
	}
}

func firstWord(s string) string {
	fields := strings.Fields(s)
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}
