package patch

import (
	"bytes"
	"fmt"
	"mime"
	netmail "net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/runvm/runvm/kernel/patch/mail"
)

// Write makes the folder dir of the series, a file a patch in the order in
// which they are applied, as git format-patch names and git am reads them.
// dir must be empty or not there. It appears when it is whole.
func (s *Series) Write(dir string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(dir)), ".series-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if s.cover != nil {
		if err := os.WriteFile(filepath.Join(tmp, "0000-cover-letter.patch"), s.mail(0, *s.cover), 0o644); err != nil {
			return err
		}
	}
	for i := range s.Patches {
		if err := os.WriteFile(filepath.Join(tmp, s.FileName(i)), s.Mail(i), 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("write series %s: it must be an empty folder or a new one: %w", dir, err)
	}
	return nil
}

// FileName is the name that Write gives to the patch s.Patches[i].
func (s *Series) FileName(i int) string {
	return fmt.Sprintf("%04d-%s.patch", i+1, slug(s.Patches[i].title()))
}

// Mail is what Write writes of the patch s.Patches[i]: a mail as git
// format-patch makes it, whatever the patch came in.
func (s *Series) Mail(i int) []byte { return s.mail(i+1, s.Patches[i].mail) }

// title is never empty.
func (p *Patch) title() string {
	if p.Subject == "" {
		return p.Name
	}
	return p.Subject
}

var notInNames = regexp.MustCompile(`[^A-Za-z0-9._]+|\.\.+`)

// slug makes a part of a file name of a title.
func slug(title string) string {
	const most = 52 // as git has it
	s := strings.Trim(notInNames.ReplaceAllString(title, "-"), "-.")
	return strings.TrimRight(s[:min(len(s), most)], "-.")
}

// mail is m as the mail number of the series.
func (s *Series) mail(number int, m mail.Mail) []byte {
	var b bytes.Buffer
	b.WriteString("From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\n")
	fmt.Fprintf(&b, "From: %s\n", address(m.From))
	if !m.Date.IsZero() {
		fmt.Fprintf(&b, "Date: %s\n", m.Date.Format(time.RFC1123Z))
	}
	tag := fmt.Sprintf("PATCH %d/%d", number, len(s.Patches))
	if s.Version > 1 {
		tag = fmt.Sprintf("PATCH v%d %d/%d", s.Version, number, len(s.Patches))
	}
	title := m.Title
	if title == "" {
		title = m.Name
	}
	fmt.Fprintf(&b, "Subject: [%s] %s\n", tag, mime.QEncoding.Encode("utf-8", title))
	b.WriteString("MIME-Version: 1.0\nContent-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\n\n")
	b.Write(m.Text)
	return b.Bytes()
}

// address is from as a header has it. A diff that nobody sent still needs one
// for git am.
func address(from string) string {
	if a, err := netmail.ParseAddress(from); err == nil {
		return a.String()
	}
	return "unknown <unknown@localhost>"
}
