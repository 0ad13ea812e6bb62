package ktap

import (
	"strconv"
	"strings"
	"unicode"
)

// IsVersion says that line, without what a log puts before it, opens a
// Document.
func IsVersion(line string) bool {
	text := strings.TrimSpace(line)
	digits, ok := strings.CutPrefix(text, "KTAP version ")
	if !ok {
		digits, ok = strings.CutPrefix(text, "TAP version ")
	}
	_, err := strconv.ParseUint(digits, 10, 16)
	return ok && err == nil
}

// indented splits line into its indentation, in bytes, and the rest. The "# "
// that kselftest's runner puts before lines of a test it runs counts as such.
func indented(line string) (int, string) {
	rest := strings.TrimLeft(line, " \t")
	for strings.HasPrefix(rest, "# ") && !strings.HasPrefix(rest, subtestMark) {
		rest = strings.TrimLeft(rest[2:], " \t")
	}
	return len(line) - len(rest), rest
}

// subtestMark is the header of subtests in TAP 14 and KUnit.
const subtestMark = "# Subtest: "

// plan reads "1..N # SKIP reason".
func plan(text string) (n int, skip string, ok bool) {
	digits, note, _ := strings.Cut(text, "#")
	digits, ok = strings.CutPrefix(strings.TrimSpace(digits), "1..")
	if !ok {
		return 0, "", false
	}
	count, err := strconv.ParseUint(digits, 10, 31)
	if err != nil {
		return 0, "", false
	}
	if count == 0 {
		_, skip = directive(note)
		if skip == "" {
			skip = "nothing was planned"
		}
	}
	return int(count), skip, true
}

// result reads "not ok 3 - name # SKIP why". The number must be there, as KTAP
// has it: a program may well say "ok" when it talks of something else.
func result(text string) (t Test, n int, ok bool) {
	rest, passed := strings.CutPrefix(text, "ok ")
	if !passed {
		if rest, ok = strings.CutPrefix(text, "not ok "); !ok {
			return t, 0, false
		}
	}
	number, rest, _ := strings.Cut(strings.TrimLeft(rest, " \t"), " ")
	number = strings.TrimRight(number, "\t")
	count, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return t, 0, false
	}
	word, why := "", ""
	description := rest
	if i := strings.Index(" "+rest, " #"); i >= 0 {
		description = rest[:max(0, i-1)]
		word, why = directive(rest[i+1:])
	}
	description = strings.TrimSpace(description)
	description = strings.TrimSpace(strings.TrimPrefix(description, "- "))
	if description == "" || description == "-" {
		description = number
	}
	return Test{Name: clean(description, MaxName), Status: status(passed, word), Why: reason(word, why)}, int(count), true
}

// behind reads a result that stands behind other words of its line, as when a
// test did not end the line it wrote before. It must be the one with number n.
func behind(text string, n int) (before string, t Test, ok bool) {
	for _, word := range []string{"not ok ", "ok "} {
		i := strings.Index(text, word+strconv.Itoa(n))
		if i <= 0 || wordByte(text[i-1]) {
			continue
		}
		if t, found, ok := result(text[i:]); ok && found == n {
			return text[:i], t, true
		}
	}
	return "", t, false
}

func wordByte(c byte) bool {
	return c == '_' || c == '-' || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// directive splits what follows the number sign of a line. A word that is no
// directive belongs to the diagnostic data.
func directive(note string) (word, why string) {
	note = strings.TrimSpace(note)
	word, why, _ = strings.Cut(note, " ")
	word = strings.ToUpper(strings.TrimRight(word, ":"))
	switch word {
	case "SKIPPED":
		word = "SKIP"
	case "SKIP", "TODO", "XFAIL", "XPASS", "TIMEOUT", "ERROR":
	default:
		return "", clean(note, MaxWhy)
	}
	return word, clean(why, MaxWhy)
}

func status(passed bool, word string) Status {
	switch {
	case word == "SKIP", !passed && (word == "TODO" || word == "XFAIL"):
		return Skip
	case passed:
		return Pass
	}
	return Fail
}

// reason puts words before why where the directive says more than a status.
func reason(word, why string) string {
	before := ""
	switch word {
	case "TIMEOUT":
		before = "timed out"
	case "TODO", "XFAIL":
		before = "expected to fail"
	case "ERROR":
		if why == "" {
			before = "error"
		}
	}
	if before == "" || why == "" {
		return before + why
	}
	return before + ": " + why
}

// clean makes one printable line of at most max bytes of s.
func clean(s string, max int) string {
	s = strings.TrimSpace(strings.ToValidUTF8(s, "?"))
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return '?'
		}
		return r
	}, s)
	if len(s) > max {
		s = strings.ToValidUTF8(s[:max], "") + "…"
	}
	return s
}

// slashless is a name in which "/" does not part a test from its subtest.
func slashless(name string) string { return strings.ReplaceAll(name, "/", "\u2215") }
