package mail

import (
	"regexp"
	"slices"

	"github.com/emersion/go-message"
	mailheader "github.com/emersion/go-message/mail"
)

// readHeader takes from a header what it says of the mail's place.
func readHeader(m *Mail, header message.Header) {
	h := mailheader.Header{Header: header}
	m.Tag, m.Title = ParseSubject(words(h.Get("Subject")))
	m.From = words(h.Get("From"))
	m.Date, _ = h.Date() // a wrong date is none
	if ids := messageIDs(h.Get("Message-Id")); len(ids) > 0 {
		m.ID = ids[0]
	}
	m.Parents = messageIDs(h.Get("In-Reply-To"))
	// References name the oldest first.
	older := messageIDs(h.Get("References"))
	slices.Reverse(older)
	for _, id := range older {
		if !slices.Contains(m.Parents, id) {
			m.Parents = append(m.Parents, id)
		}
	}
}

// maxParents bounds how far up a thread a mail looks.
const maxParents = 64

var messageID = regexp.MustCompile(`<([^<>\s]{1,250})>`)

// messageIDs returns the ids in a header, which in the wild also holds
// comments and quoted words, the reason not to parse it by its grammar.
func messageIDs(field string) []string {
	var ids []string
	for _, m := range messageID.FindAllStringSubmatch(field, maxParents) {
		ids = append(ids, m[1])
	}
	return ids
}
