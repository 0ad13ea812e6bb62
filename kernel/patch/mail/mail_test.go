package mail

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
)

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestDresses reads one patch in every form in which mail programs send it.
func TestDresses(t *testing.T) {
	t.Parallel()
	want := fixture(t, "want.diff")
	for name, c := range map[string]struct {
		mails   []string // titles
		message string   // in the text of the mail with the diff
	}{
		"plain.eml":          {[]string{"fs: say ten"}, "Naïve: say ten in words, for those who read = out."},
		"crlf.eml":           {[]string{"fs: say ten"}, "Naïve"},
		"qp.eml":             {[]string{"fs: say ten"}, "Naïve"},
		"base64.eml":         {[]string{"fs: say ten"}, "Naïve"},
		"base64-crlf.eml":    {[]string{"fs: say ten"}, "Naïve"},
		"latin1.eml":         {[]string{"fs: say ten"}, "Naïve"},
		"koi8.eml":           {[]string{"fs: десять"}, "Слово"},
		"attached.eml":       {[]string{"fs: say ten"}, "Naïve"},
		"octets.eml":         {[]string{"fs: say ten"}, "Naïve"},
		"twice.eml":          {[]string{"fs: say ten"}, "Naïve"},
		"alternative.eml":    {[]string{"fs: say ten"}, "Naïve"},
		"signed.eml":         {[]string{"fs: say ten"}, "Naïve"},
		"footer.eml":         {[]string{"fs: say ten"}, "Naïve"},
		"attached-mails.eml": {[]string{"two fixes", "fs: say twenty", "fs: say ten"}, "Naïve"},
		"forwarded.eml":      {[]string{"a patch", "fs: say ten"}, "Naïve"},
		"long-subject.eml":   {[]string{"fs: grüße und mehr"}, "Naïve"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mails, err := Parse(name, fixture(t, name))
			if err != nil {
				t.Fatal(err)
			}
			var titles []string
			for _, m := range mails {
				titles = append(titles, m.Title)
				if m.Flaw != "" {
					t.Errorf("%s: flaw %q", m.Name, m.Flaw)
				}
			}
			if !slices.Equal(titles, c.mails) {
				t.Errorf("mails %q, want %q", titles, c.mails)
			}
			m := mails[len(mails)-1]
			if !m.HasDiff() || !bytes.HasPrefix(m.Text[diffStart(m.Text):], want) {
				t.Errorf("text:\n%s\nwant in it:\n%s", m.Text, want)
			}
			if bytes.Count(m.Text, []byte("diff --git")) != 1 {
				t.Errorf("the diff is there more than once:\n%s", m.Text)
			}
			if !strings.Contains(m.Message(), c.message) {
				t.Errorf("message %q lacks %q", m.Message(), c.message)
			}
		})
	}
}

func TestFlaws(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"flowed.eml":        "format=flowed",
		"html.eml":          "HTML only",
		"uuencode.eml":      `"x-uuencode" is not known`,
		"broken-base64.eml": "illegal base64 data",
	} {
		mails, err := Parse(name, fixture(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := mails[0].Flaw; !strings.Contains(got, want) || strings.Contains(got, "\n") {
			t.Errorf("%s: flaw %q, want %q", name, got, want)
		}
	}
}

// TestFlowedTalkIsFine: only a diff suffers.
func TestFlowedTalkIsFine(t *testing.T) {
	t.Parallel()
	mails, err := Parse("x", []byte("Subject: Re: [PATCH] x\nContent-Type: text/plain; format=flowed\n\nTested-by: T <t@example.com>\n"))
	if err != nil || mails[0].Flaw != "" {
		t.Errorf("flaw %q, error %v", mails[0].Flaw, err)
	}
}

func TestHeader(t *testing.T) {
	t.Parallel()
	mails, err := Parse("x", []byte("Subject: Re: [PATCH v2 1/2] x\nFrom: =?utf-8?q?J=C3=B6rg?= <j@example.com>\n"+
		"Date: Mon, 2 Nov 2026 10:00:00 +0100\nMessage-ID: <c@example.com>\nIn-Reply-To: Your mail of today <b@example.com>\n"+
		"References: <a@example.com>\n <b@example.com>\n\ntext\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := mails[0]
	if m.From != "Jörg <j@example.com>" || m.ID != "c@example.com" || m.Date.UTC().Hour() != 9 {
		t.Errorf("from %q, id %q, date %v", m.From, m.ID, m.Date)
	}
	if want := []string{"b@example.com", "a@example.com"}; !slices.Equal(m.Parents, want) {
		t.Errorf("parents %q, want %q", m.Parents, want)
	}
}

func TestNothingSteersTheTerminal(t *testing.T) {
	t.Parallel()
	mails, err := Parse("x", fixture(t, "control.eml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{mails[0].Title, mails[0].From} {
		if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) || !strings.ContainsRune(s, unicode.ReplacementChar) {
			t.Errorf("%q", s)
		}
	}
}

func TestParseSubject(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string]struct {
		tag   Tag
		title string
	}{
		"[PATCH] a":                                {Tag{Version: 1}, "a"},
		"[PATCH 1/2] a":                            {Tag{Version: 1, Number: 1, Total: 2}, "a"},
		"[PATCH RFC v3 07/12] a: b":                {Tag{Version: 3, Number: 7, Total: 12}, "a: b"},
		"[RFC PATCH V3 07/12] a":                   {Tag{Version: 3, Number: 7, Total: 12}, "a"},
		"[PATCH net-next v2] a":                    {Tag{Version: 2}, "a"},
		"[PATCHv4 0/3] a":                          {Tag{Version: 4, Total: 3}, "a"},
		"[PATCH-v4 3/3] a":                         {Tag{Version: 4, Number: 3, Total: 3}, "a"},
		"[bpf-next,v2,3/7] a":                      {Tag{Version: 2, Number: 3, Total: 7}, "a"},
		"[PATCH 6.12.y 5/5] a":                     {Tag{Version: 1, Number: 5, Total: 5}, "a"},
		"[PATCH RESEND v2 1/1] a":                  {Tag{Version: 2, Resend: true, Number: 1, Total: 1}, "a"},
		"[RFC] [PATCH 2/2] [media] a":              {Tag{Version: 1, Number: 2, Total: 2}, "a"},
		"Re: [PATCH 1/2] a":                        {Tag{Version: 1, Reply: true, Number: 1, Total: 2}, "a"},
		"AW: RE: Re[2]: [PATCH v9 1/2] a":          {Tag{Version: 9, Reply: true, Number: 1, Total: 2}, "a"},
		"[PATCH 0/0] a":                            {Tag{Version: 1}, "a"},
		"[PATCH 12345/99999] a":                    {Tag{Version: 1}, "a"},
		"[PATCH] Revert \"[PATCH v2 1/2] a\" \t b": {Tag{Version: 1}, "Revert \"[PATCH v2 1/2] a\" b"},
		"":        {Tag{Version: 1}, ""},
		"[":       {Tag{Version: 1}, "["},
		"regress": {Tag{Version: 1}, "regress"},
	} {
		tag, title := ParseSubject(subject)
		if tag != want.tag || title != want.title {
			t.Errorf("%q: %+v %q, want %+v %q", subject, tag, title, want.tag, want.title)
		}
	}
}

func TestDeepMailIsFlawed(t *testing.T) {
	t.Parallel()
	nest := func(depth int) []byte {
		var b strings.Builder
		b.WriteString("Subject: [PATCH] deep\n")
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n", i, i)
		}
		b.WriteString("Content-Type: text/plain\n\ntext\n")
		for i := depth - 1; i >= 0; i-- {
			fmt.Fprintf(&b, "--b%d--\n", i)
		}
		return []byte(b.String())
	}
	for depth, want := range map[int]string{maxDepth: "", maxDepth + 1: errDeep.Error(), 2000: errDeep.Error()} {
		mails, err := Parse("x", nest(depth))
		if err != nil || mails[0].Flaw != want {
			t.Errorf("%d deep: flaw %q, error %v, want %q", depth, mails[0].Flaw, err, want)
		}
	}
	forwarded := []byte("Subject: x\n\ntext\n")
	for range maxDepth * 2 {
		forwarded = append([]byte("Subject: x\nContent-Type: message/rfc822\n\n"), forwarded...)
	}
	mails, err := Parse("x", forwarded)
	if err != nil || len(mails) > maxDepth+3 || mails[len(mails)-1].Flaw != errDeep.Error() {
		t.Errorf("forwarded: %d mails, error %v", len(mails), err)
	}
	many := "Subject: x\nContent-Type: multipart/mixed; boundary=b\n\n" + strings.Repeat("--b\n\ntext\n", maxParts+1) + "--b--\n"
	if mails, err := Parse("x", []byte(many)); err != nil || mails[0].Flaw != errParts.Error() {
		t.Errorf("many parts: flaw %q, error %v", mails[0].Flaw, err)
	}
}

func TestMboxKeepsFromLinesOfTexts(t *testing.T) {
	t.Parallel()
	one := "From a@example.com Mon Sep 17 00:00:00 2001\nSubject: a\n\nFirst.\n\nFrom here on it is better.\n\n"
	mails, kind, err := ReadFrom("box", strings.NewReader("\n\n"+one+strings.Replace(one, "Subject: a", "Subject: b", 1)))
	if err != nil || kind != Mailbox || len(mails) != 2 {
		t.Fatalf("%d mails, kind %d, error %v", len(mails), kind, err)
	}
	for i, m := range mails {
		if want := fmt.Sprintf("box#%d", i+1); m.Name != want || !bytes.Contains(m.Text, []byte("From here on")) {
			t.Errorf("mail %q, want %q:\n%s", m.Name, want, m.Text)
		}
	}
}

func pack(t *testing.T, text []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPackedMailIsBounded(t *testing.T) {
	t.Parallel()
	if mails, _, err := ReadFrom("x", bytes.NewReader(pack(t, fixture(t, "qp.eml")))); err != nil || mails[0].Title != "fs: say ten" {
		t.Errorf("packed: %v, error %v", mails, err)
	}
	text, err := readBounded(bytes.NewReader(pack(t, make([]byte, 1001))), 1000)
	if err == nil || !strings.Contains(err.Error(), "refused: larger than") {
		t.Errorf("a bomb: %d bytes, error %v", len(text), err)
	}
	if _, err := readBounded(strings.NewReader(strings.Repeat("x", 1001)), 1000); err == nil {
		t.Error("a large text was read")
	}
}

// TestMaildirIsReadAndLeftAlone: new mails stay new, order is that of dates.
func TestMaildirIsReadAndLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files := map[string]string{
		"new/9.host":       "Subject: first\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\n",
		"cur/1.host:2,S":   "Subject: third\nDate: Mon, 2 Nov 2026 12:00:00 +0000\n\n",
		"cur/5.host:2,RS":  "Subject: second\nDate: Mon, 2 Nov 2026 11:00:00 +0000\n\n",
		"cur/.index":       "not a mail",
		"tmp/2.unfinished": "Subject: none\n\n",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mails, kind, err := Read(dir)
	if err != nil || kind != Mailbox {
		t.Fatalf("kind %d, error %v", kind, err)
	}
	var titles []string
	for _, m := range mails {
		titles = append(titles, m.Title)
	}
	if want := []string{"first", "second", "third"}; !slices.Equal(titles, want) {
		t.Errorf("mails %q, want %q", titles, want)
	}
	for name := range files {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}

func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(names) == 0 {
		f.Fatalf("%d fixtures, error %v", len(names), err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		mails, _, err := ReadFrom("x", bytes.NewReader(text))
		if err != nil {
			return
		}
		size := 0
		for _, m := range mails {
			for _, s := range []string{m.Name, m.Title, m.From, m.Flaw} {
				if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
					t.Errorf("%q would reach a terminal", s)
				}
			}
			if m.Tag.Version < 0 || m.Tag.Number < 0 || m.Tag.Total < 0 || m.Tag.Total > 9999 {
				t.Errorf("tag %+v", m.Tag)
			}
			size += len(m.Text)
		}
		// Decoding shrinks; characters of other charsets grow to three bytes
		// or four.
		if size > 4*len(text)*(maxDepth+2)+1024 {
			t.Errorf("%d bytes became %d", len(text), size)
		}
	})
}

// TestPatchesPutTogether reads what "cat *.patch" makes of patches without a
// signature: nothing stands between one's last line and the next one's first.
func TestPatchesPutTogether(t *testing.T) {
	t.Parallel()
	const one = "From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: [PATCH] one\n\n" +
		"From here on all is well.\n---\ndiff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
	mails, _, err := ReadFrom("stdin", strings.NewReader(one+strings.Replace(one, "one", "two", 1)))
	if err != nil || len(mails) != 2 || mails[0].Title != "one" || mails[1].Title != "two" {
		t.Errorf("read %d mails, %v", len(mails), err)
	}
}
