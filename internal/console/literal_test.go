package console

import (
	"bytes"
	"testing"
)

func TestSkeleton(t *testing.T) {
	t.Parallel()
	tests := []struct {
		expr, text string
		end        int
	}{
		{`a(?:b|c)?d`, "xaxd", 4},
		{`a(?:b|c)?d`, "xdxa", -1},
		{`(?:one|two): [0-9]+ (x)+`, "two:  x", 7},
		{`(?:one|two): [0-9]+ (x)+`, "ten:  x", -1},
		{`(?:one|)two`, "two", 3},
		{`(?i)one`, "", 0},
		{`(`, "", 0},
	}
	for _, test := range tests {
		s := skeletonOf(test.expr)
		if got := s.end(test.text); got != test.end {
			t.Errorf("%s in %q: %d, want %d", test.expr, test.text, got, test.end)
		}
		var have pairs
		have.add(test.text)
		if want := s.pairs(); test.end >= 0 && !have.hold(&want) {
			t.Errorf("%s in %q: a pair is missing", test.expr, test.text)
		}
	}
}

// What an opener matches holds its literals.
func TestLiteralsRefuseNoOpener(t *testing.T) {
	t.Parallel()
	var logs [][]byte
	for _, f := range formats(t) {
		logs = append(logs, f.Data)
	}
	for _, r := range recorded(t) {
		logs = append(logs, r.log)
	}
	openers := map[*rule]bool{}
	for n, raw := range bytes.Split(bytes.Join(logs, nil), []byte("\n")) {
		text := string(split(n, raw).text)
		var have pairs
		have.add(text)
		for i := range ruleset() {
			r := &ruleset()[i]
			if !r.opener.MatchString(text) {
				continue
			}
			openers[r] = true
			if r.bones.end(text) < 0 || !have.hold(&r.pairs) {
				t.Errorf("%s is refused in %q", r.opener, text)
			}
		}
	}
	if len(openers) < len(ruleset())/2 {
		t.Errorf("%d of %d rules were tried", len(openers), len(ruleset()))
	}
}
