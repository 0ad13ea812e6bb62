package mail

import (
	"bytes"
	"regexp"
)

// fromLine starts each mail of an mbox, by the rule of git mailsplit: git
// format-patch and b4 write lines of a text that start with "From " as they
// are, so the word alone (which is what mbox libraries look for) would cut a
// commit message in two.
var fromLine = regexp.MustCompile(`(?m)^From \S+ .*[0-9]{1,2}:[0-9]{2}.* [0-9]{4}\b`)

// split returns the mails of an mbox, or the whole of a text that is none.
func split(text []byte) [][]byte {
	starts := []int{0}
	isMbox := fromLine.Match(text[:min(len(text), 1024)])
	for _, at := range fromLine.FindAllIndex(text, -1) {
		before := bytes.TrimSuffix(text[:at[0]], []byte("\r\n"))
		before = bytes.TrimSuffix(before, []byte("\n"))
		// A line of a mail's text may look the same; it has no empty line
		// before it that ends a mail.
		if at[0] > 0 && isMbox && bytes.HasSuffix(before, []byte("\n")) {
			starts = append(starts, at[0])
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
