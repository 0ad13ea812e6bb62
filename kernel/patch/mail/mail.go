// Package mail reads the mails that patches come in: mboxes, Maildirs,
// folders of files, single mails in any MIME dress, and plain diffs. It says
// what a mail says of itself (its place in a series, its thread) and gives
// its text decoded. Which mails make a series is decided elsewhere.
//
// A mail is a stranger's: its size, depth and number of parts are bounded,
// and what may reach a terminal holds no control characters.
package mail

import (
	"crypto/sha256"
	"errors"
	"strings"
	"time"
	"unicode"
)

// The bounds of what is read, each well above what mailing lists let through.
const (
	MaxSize    = 64 << 20  // bytes of one mail; the largest patches are generated headers of 20 MB
	MaxMailbox = 256 << 20 // bytes of one file, unpacked
	MaxMails   = 4096      // mails at one path; the longest threads have some hundreds

	maxHeader = 256 << 10 // bytes of a header; a recipient list of hundreds needs 20 KB
	maxDepth  = 8         // parts within parts; a list footer around a signature makes three
	maxParts  = 256       // parts of one mail, at all depths
	maxField  = 1000      // bytes kept of a subject or a name
)

// ErrRefused is something that is too large or is no mail.
var ErrRefused = errors.New("refused")

// A Mail is one message, or a diff without one.
type Mail struct {
	Name     string // the file's, "<mbox>#<number from 1>", "+<number>" added for a mail attached to it
	Tag      Tag    // what stands before the title of the subject
	Title    string // subject without the tag, printable, "" for a plain diff
	From     string // the sender, printable: "Name <address>"
	Date     time.Time
	ID       string   // Message-ID, "" when it has none
	Parents  []string // message ids it answers, the nearest first
	Text     []byte   // decoded text; what is before the diff is UTF-8
	Flaw     string   // why a diff in Text cannot be trusted or read, "" when it can
	Digest   string   // SHA-256 of the mail as it was read, in hex
	Attached bool     // it came as an attachment of another mail

	sum [sha256.Size]byte // of Text
}

// Same says that two mails are one that came in two ways.
func (m *Mail) Same(as *Mail) bool {
	return m.ID != "" && m.ID == as.ID || m.sum == as.sum
}

// HasDiff says whether the text holds a diff that is not quoted.
func (m *Mail) HasDiff() bool { return diffStart(m.Text) >= 0 }

// Message returns the text before the diff: the message of the commit and
// what stands below its "---".
func (m *Mail) Message() string {
	if at := diffStart(m.Text); at >= 0 {
		return string(m.Text[:at])
	}
	return string(m.Text)
}

// Printable returns s on one line, at most a thousand bytes, with everything
// that could steer a terminal replaced.
func Printable(s string) string {
	if len(s) > maxField {
		s = s[:maxField]
	}
	s = strings.Join(strings.Fields(s), " ")
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}
