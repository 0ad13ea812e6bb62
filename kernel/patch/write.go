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
		if err := s.writeMail(filepath.Join(tmp, "0000-cover-letter.patch"), 0, *s.cover); err != nil {
			return err
		}
	}
	for i, p := range s.Patches {
		name := fmt.Sprintf("%04d-%s.patch", i+1, slug(p.title()))
		if err := s.writeMail(filepath.Join(tmp, name), i+1, p.mail); err != nil {
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

// writeMail writes m as the mail number of the series.
func (s *Series) writeMail(file string, number int, m mail.Mail) error {
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
	return os.WriteFile(file, b.Bytes(), 0o644)
}

// address is from as a header has it. A diff that nobody sent still needs one
// for git am.
func address(from string) string {
	if a, err := netmail.ParseAddress(from); err == nil {
		return a.String()
	}
	return "unknown <unknown@localhost>"
}
