package verdict

import (
	"fmt"
	"regexp"
	"time"
)

// An Allowed complaint of the kernel does not fail a run.
type Allowed struct {
	// Title is a regular expression that the complaint's title must match.
	Title string `json:"title"`
	// Reason says why it is allowed, Link where that is discussed.
	Reason string `json:"reason"`
	Link   string `json:"link,omitempty"`
	// Until is the last day on which it is, in UTC; zero is every day.
	Until time.Time `json:"until,omitzero"`
}

// String is the entry for people.
func (a *Allowed) String() string {
	s := fmt.Sprintf("%q (%s", a.Title, a.Reason)
	if a.Link != "" {
		s += ", " + a.Link
	}
	return s + ")"
}

// expired tells whether the day of now is behind the entry's last.
func (a *Allowed) expired(now time.Time) bool {
	return !a.Until.IsZero() && now.UTC().Truncate(24*time.Hour).After(a.Until)
}

// A Use is an entry of the allowlist and what became of it in a run.
type Use struct {
	Allowed
	Used    bool `json:"used"`              // a complaint matched it
	Expired bool `json:"expired,omitempty"` // it was not in force any more
}

// Note is a remark on an entry that should go; "" when there is none.
func (u *Use) Note() string {
	switch {
	case u.Expired:
		return fmt.Sprintf("allowlist: %s expired on %s", &u.Allowed, u.Until.Format(time.DateOnly))
	case !u.Used:
		return fmt.Sprintf("allowlist: %s was not needed", &u.Allowed)
	}
	return ""
}

// allowlist prepares the entries for use at now; the error is a regular
// expression that does not parse.
func allowlist(entries []Allowed, now time.Time) (uses []Use, titles []*regexp.Regexp, err error) {
	for _, e := range entries {
		re, err := regexp.Compile(e.Title)
		if err != nil {
			return nil, nil, fmt.Errorf("allowlist: %w", err)
		}
		uses, titles = append(uses, Use{Allowed: e, Expired: e.expired(now)}), append(titles, re)
	}
	return uses, titles, nil
}

// allowed returns the entry that covers title, nil when none does. All that
// match are used.
func (j *judge) allowed(title string) (found *Allowed) {
	for i := range j.report.Allow {
		if u := &j.report.Allow[i]; !u.Expired && j.titles[i].MatchString(title) {
			u.Used = true
			if found == nil {
				found = &u.Allowed
			}
		}
	}
	return found
}
