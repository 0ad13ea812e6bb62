package patch

import (
	"context"
	"fmt"
	"strings"

	"github.com/runvm/runvm/kernel/patch/mail"
)

// Load reads the series at each path with a Loader of nothing.
func Load(paths []string) ([]Series, error) {
	return new(Loader).Load(context.Background(), paths)
}

// Load reads the series that each spec names, as Read does, and refuses one
// that is not whole.
func (l *Loader) Load(ctx context.Context, specs []string) ([]Series, error) {
	all, err := l.Read(ctx, specs)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if err := all[i].Whole(); err != nil {
			return nil, fmt.Errorf("read patches %s: %w", all[i].Path, err)
		}
	}
	return all, nil
}

// Read reads the series that each spec names: a folder of patches, a patch,
// an mbox, a Maildir, "-", a range TREE:BASE..TIP, a Message-ID or the address
// of a mail archive. A patch that names paths outside of the tree, makes a
// link that points there, is larger than the bounds above or changes nothing
// is ErrRefused; so are mails that hold more than one series.
func (l *Loader) Read(ctx context.Context, specs []string) ([]Series, error) {
	var all []Series
	count := 0
	for _, spec := range specs {
		s, err := l.readOne(ctx, spec)
		if err != nil {
			return nil, fmt.Errorf("read patches %s: %w", spec, err)
		}
		if count += len(s.Patches); count > MaxPatches {
			return nil, fmt.Errorf("read patches %s: %w: more than %d patches", spec, ErrRefused, MaxPatches)
		}
		all = append(all, *s)
	}
	return all, nil
}

func (l *Loader) readOne(ctx context.Context, spec string) (*Series, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.read[spec]; s != nil {
		return s, nil
	}
	s, err := l.readNew(ctx, spec)
	if err != nil {
		return nil, err
	}
	if l.read == nil {
		l.read = map[string]*Series{}
	}
	l.read[spec] = s
	return s, nil
}

func (l *Loader) readNew(ctx context.Context, spec string) (*Series, error) {
	mails, kind, err := l.mails(ctx, spec)
	if err != nil {
		return nil, err
	}
	s, err := gather(mails, kind)
	if err != nil {
		return nil, err
	}
	s.Path = spec
	if s.BaseCommit == "" {
		s.BaseCommit = l.rangeBase(ctx, spec)
	}
	return s, nil
}

// Whole returns an error when a patch of the series is missing.
func (s *Series) Whole() error {
	if len(s.Missing) == 0 {
		return nil
	}
	const most = 10
	var names []string
	for _, n := range s.Missing[:min(len(s.Missing), most)] {
		names = append(names, fmt.Sprintf("%d/%d", n, s.Total))
	}
	if len(s.Missing) > most {
		names = append(names, fmt.Sprintf("%d more", len(s.Missing)-most))
	}
	err := fmt.Errorf("%w: v%d of the series lacks %s", ErrRefused, s.Version, strings.Join(names, ", "))
	for _, note := range s.Notes {
		// What was found in place of a missing patch explains it.
		if strings.Contains(note, olderNote) {
			return fmt.Errorf("%w (%s)", err, note)
		}
	}
	return err
}

// parse checks the patch in a mail.
func parse(m mail.Mail) (Patch, error) {
	if m.Flaw != "" {
		return Patch{}, fmt.Errorf("%w: %s", ErrRefused, m.Flaw)
	}
	if !m.HasDiff() {
		return Patch{}, fmt.Errorf("%w: %w", ErrRefused, errEmpty)
	}
	files, err := readDiff(m.Text)
	if err == nil && len(files) == 0 {
		err = errEmpty
	}
	if err != nil {
		return Patch{}, fmt.Errorf("%w: %s", ErrRefused, mail.Printable(err.Error()))
	}
	p := Patch{Name: m.Name, Subject: m.Title, Digest: m.Digest, Number: m.Tag.Number, raw: m.Text, diffs: files, mail: m}
	if p.Files, err = checkFiles(files); err != nil {
		return Patch{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return p, nil
}

// parseAll returns the patches in mails. The error names the mail.
func parseAll(mails []mail.Mail) ([]Patch, error) {
	if len(mails) > MaxPatches {
		return nil, fmt.Errorf("%w: more than %d patches", ErrRefused, MaxPatches)
	}
	var all []Patch
	for _, m := range mails {
		p, err := parse(m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		all = append(all, p)
	}
	return all, nil
}
