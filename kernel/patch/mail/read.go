package mail

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// Kind is what a path turned out to be.
type Kind int

const (
	File    Kind = iota // one mail or diff
	Mailbox             // an mbox or a Maildir: other mails lie beside the patches
	Folder              // a folder of files, each of which is a patch
)

// Read returns the mails at path and what it is. Nothing is changed there: a
// Maildir's new mails stay new.
func Read(path string) ([]Mail, Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, File, errors.Unwrap(err)
	}
	if !info.IsDir() {
		mails, err := readFile(path)
		return mails, kindOf(mails), err
	}
	if isDir(filepath.Join(path, "cur")) && isDir(filepath.Join(path, "new")) {
		mails, err := readAll(filepath.Join(path, "cur"), everything)
		if err != nil {
			return nil, Mailbox, err
		}
		fresh, err := readAll(filepath.Join(path, "new"), everything)
		mails = append(mails, fresh...)
		// The names of a Maildir's files say nothing of an order.
		slices.SortStableFunc(mails, func(a, b Mail) int { return a.Date.Compare(b.Date) })
		return mails, Mailbox, errors.Join(err, tooMany(mails))
	}
	mails, err := readAll(path, patchFile)
	return mails, Folder, err
}

// ReadFrom returns the mails of what r gives, an mbox or a mail, named after
// name.
func ReadFrom(name string, r io.Reader) ([]Mail, Kind, error) {
	text, err := readBounded(r, MaxMailbox)
	if err != nil {
		return nil, File, err
	}
	mails, err := parseMbox(name, text)
	return mails, kindOf(mails), err
}

func kindOf(mails []Mail) Kind {
	if len(mails) == 1 {
		return File
	}
	return Mailbox
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// everything takes all files but hidden ones, which indexes of mail programs
// are.
func everything(name string) bool { return name[0] != '.' }

// patchFile takes what is named as a patch or a mail; a folder of patches has
// notes and scripts beside them.
func patchFile(name string) bool {
	switch filepath.Ext(name) {
	case ".patch", ".diff", ".eml", ".mbox":
		return true
	}
	return false
}

// readAll returns the mails of the files in dir that take wants, in the order
// of their names.
func readAll(dir string, take func(name string) bool) ([]Mail, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	var mails []Mail
	total := 0
	for _, entry := range entries {
		if entry.IsDir() || !take(entry.Name()) {
			continue
		}
		one, err := readFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Printable(entry.Name()), err)
		}
		for _, m := range one {
			total += len(m.Text)
		}
		if total > MaxMailbox {
			return nil, fmt.Errorf("%w: larger than %d MiB", ErrRefused, MaxMailbox>>20)
		}
		if mails = append(mails, one...); len(mails) > MaxMails {
			return nil, tooMany(mails)
		}
	}
	return mails, nil
}

// readFile returns the mails of a file: one, unless it is an mbox of more or
// has others attached.
func readFile(path string) ([]Mail, error) {
	// Before it is opened, for that would wait for the other end of a pipe.
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: not a file (- reads standard input)", ErrRefused)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	defer f.Close()
	text, err := readBounded(f, MaxMailbox)
	if err != nil {
		return nil, err
	}
	return parseMbox(Printable(filepath.Base(path)), text)
}

// readBounded reads at most limit bytes, unpacked where r is gzip, as the
// mboxes of mail archives are.
func readBounded(r io.Reader, limit int) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && bytes.HasPrefix(text, []byte{0x1f, 0x8b}) && len(text) <= limit {
		var packed *gzip.Reader
		if packed, err = gzip.NewReader(bytes.NewReader(text)); err == nil {
			text, err = io.ReadAll(io.LimitReader(packed, int64(limit)+1))
		}
	}
	if err != nil {
		return nil, err
	}
	if len(text) > limit {
		return nil, fmt.Errorf("%w: larger than %d MiB", ErrRefused, limit>>20)
	}
	return text, nil
}

func parseMbox(name string, text []byte) ([]Mail, error) {
	texts := split(text)
	if len(texts) == 1 {
		return Parse(name, texts[0])
	}
	var mails []Mail
	for i, text := range texts {
		name := fmt.Sprintf("%s#%d", name, i+1)
		one, err := Parse(name, text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		mails = append(mails, one...)
	}
	return mails, tooMany(mails)
}

func tooMany(mails []Mail) error {
	if len(mails) <= MaxMails {
		return nil
	}
	return fmt.Errorf("%w: more than %d mails", ErrRefused, MaxMails)
}
