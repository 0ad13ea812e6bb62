package mail

import (
	"regexp"
	"strconv"
	"strings"
)

// A Tag is what a subject says before its title, such as
// "Re: [PATCH RFC net-next v3 07/12]".
type Tag struct {
	Reply   bool
	Version int  // 1 where none is said
	Resend  bool // the same version, sent again
	Number  int  // place in the series, 0 for a cover letter
	Total   int  // patches of the series, 0 where no number is said
}

// Cover says that the mail introduces a series.
func (t Tag) Cover() bool { return t.Total > 0 && t.Number == 0 }

// Rank orders the versions of a series: the newer is larger.
func (t Tag) Rank() int {
	if t.Resend {
		return 2*t.Version + 1
	}
	return 2 * t.Version
}

var (
	replyWord  = regexp.MustCompile(`^\s*(?i:re|aw|fwd?|wg|sv|antw|回复|答复)(?:\[[0-9]+\])?\s*[:：]\s*`)
	tagGroup   = regexp.MustCompile(`^\s*\[([^\[\]]*)\]\s*`)
	numberWord = regexp.MustCompile(`^([0-9]{1,4})/([0-9]{1,4})$`)
	// "v3", "V3", "PATCHv3", "PATCH-v3"
	versionWord = regexp.MustCompile(`^(?i:(?:patch|rfc)?-?v)([0-9]{1,4})$`)
)

// ParseSubject splits a subject into its tag and its title. The brackets at
// the start are taken away, as git am does it; words in them that say nothing
// of the place in a series ("RFC", "net-next") are passed over.
func ParseSubject(subject string) (Tag, string) {
	t := Tag{Version: 1}
	for {
		if m := replyWord.FindString(subject); m != "" {
			t.Reply = true
			subject = subject[len(m):]
			continue
		}
		m := tagGroup.FindStringSubmatch(subject)
		if m == nil {
			return t, Printable(subject)
		}
		subject = subject[len(m[0]):]
		for _, word := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ' ' || r == ',' || r == '\t' }) {
			t.word(word)
		}
	}
}

// word reads one word in brackets.
func (t *Tag) word(word string) {
	if strings.EqualFold(word, "resend") || strings.EqualFold(word, "repost") {
		t.Resend = true
	}
	if m := versionWord.FindStringSubmatch(word); m != nil {
		t.Version, _ = strconv.Atoi(m[1])
	}
	if m := numberWord.FindStringSubmatch(word); m != nil {
		number, _ := strconv.Atoi(m[1])
		// "[PATCH 0/0]" numbers nothing.
		if total, _ := strconv.Atoi(m[2]); total > 0 {
			t.Number, t.Total = number, total
		}
	}
}
