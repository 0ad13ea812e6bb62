package mail

import (
	"bytes"
	"regexp"
)

// fromLine starts each mail of an mbox, by the rule of git mailsplit: git
// format-patch and b4 write lines of a text that start with "From " as they
// are, so the word alone (which is what mbox libraries look for) would cut a
// commit message in two.
var fromLine = regexp.MustCompile(`^From \S+ .*[0-9]{1,2}:[0-9]{2}.* [0-9]{4}\b`)

// formatLine starts each mail that git format-patch writes. Nothing else says
// this, so that it needs no empty line before it: "cat *.patch" has none where
// the patches have no signature.
var formatLine = regexp.MustCompile(`^From [0-9a-f]{40,64} Mon Sep 17 00:00:00 2001\r?\n`)

// split returns the mails of an mbox, or the whole of a text that is none.
func split(text []byte) [][]byte {
	if trimmed := bytes.TrimLeft(text, "\r\n"); isFromLine(trimmed) {
		text = trimmed
	}
	starts := []int{0}
	for at := nextLine(text, 0, "From "); at >= 0 && isFromLine(text); at = nextLine(text, at+1, "From ") {
		before := bytes.TrimSuffix(text[:at], []byte("\n"))
		before = bytes.TrimSuffix(before, []byte("\r"))
		// A line of a mail's text may look the same; it has no empty line
		// before it that ends a mail.
		apart := bytes.HasSuffix(before, []byte("\n")) && isFromLine(text[at:])
		if at > 0 && (apart || formatLine.Match(text[at:])) {
			starts = append(starts, at)
		}
		if len(starts) > MaxMails {
			break // who counts them refuses
		}
	}
	mails := make([][]byte, len(starts))
	for i, start := range starts {
		end := len(text)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		mails[i] = text[start:end]
	}
	return mails
}

// isFromLine says that the first line of text starts a mail. A longer line
// than a mail program writes does not.
func isFromLine(text []byte) bool {
	line, _, _ := bytes.Cut(text[:min(len(text), 1024)], []byte("\n"))
	return fromLine.Match(line)
}

// nextLine returns where, from at on, a line begins with prefix, -1 when none
// does. It is much quicker than a regular expression on a mailbox.
func nextLine(text []byte, at int, prefix string) int {
	if at == 0 && bytes.HasPrefix(text, []byte(prefix)) {
		return 0
	}
	from := max(at-1, 0)
	if i := bytes.Index(text[from:], []byte("\n"+prefix)); i >= 0 {
		return from + i + 1
	}
	return -1
}
