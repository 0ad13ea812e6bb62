package patch

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/kernel/patch/mail"
)

// A letter is a mail to be written into an mbox.
type letter struct {
	subject, id, parent, from, body string
}

// mbox writes letters into a file and returns its path.
func mbox(t *testing.T, letters ...letter) string {
	t.Helper()
	var b strings.Builder
	for i, l := range letters {
		fmt.Fprintf(&b, "From mboxrd@z Thu Jan  1 00:00:00 1970\nDate: Mon, 2 Nov 2026 10:%02d:00 +0000\nSubject: %s\n", i, l.subject)
		for name, value := range map[string]string{"Message-ID": l.id, "In-Reply-To": l.parent} {
			if value != "" {
				fmt.Fprintf(&b, "%s: <%s@example.com>\n", name, value)
			}
		}
		if l.from == "" {
			l.from = "A <a@example.com>"
		}
		fmt.Fprintf(&b, "From: %s\n\nWhy.\n---\n%s\n", l.from, l.body)
	}
	path := filepath.Join(t.TempDir(), "t.mbox")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestThread reads a thread as an archive gives it: v1 and v2 with cover
// letters, mails out of order and twice, answers, a bot.
func TestThread(t *testing.T) {
	t.Parallel()
	series := mustLoad(t, "testdata/thread.mbox")
	s := series[0]
	var got []string
	for _, p := range s.Patches {
		got = append(got, fmt.Sprint(p.Number, " ", p.Subject))
	}
	if want := []string{"1 fs: say ten", "2 fs: say twenty", "3 fs: say thirty"}; !slices.Equal(got, want) {
		t.Errorf("patches %q, want %q", got, want)
	}
	if s.Title != "fs: words for numbers" || s.Version != 2 || s.Total != 3 || !s.HasCover() {
		t.Errorf("title %q, version %d, total %d, cover %v", s.Title, s.Version, s.Total, s.HasCover())
	}
	if s.BaseCommit != "0123456789012345678901234567890123456789" || !slices.Equal(s.Needs, []string{"abcdefabcdefabcdefabcdefabcdefabcdefabcd"}) {
		t.Errorf("base %q, needs %q", s.BaseCommit, s.Needs)
	}
	wantTrailers := []Trailer{
		{"Reviewed-by", "Rita Reviewer <r@example.com>", "Rita Reviewer <r@example.com>", 2},
		{"Tested-by", "Tom Tester <t@example.com>", "Tom Tester <t@example.com>", 0},
		{"Acked-by", "Ann Acker <k@example.com>", "Ann Acker <k@example.com>", 2},
	}
	if d := cmp.Diff(wantTrailers, s.Trailers); d != "" {
		t.Errorf("trailers (-want +got):\n%s", d)
	}
	wantNotes := []string{
		"no patch, left out: thread.mbox#12",
		"a diff in an answer, left out: thread.mbox#11",
		"older than v2, left out: v1 with 2 patches",
		"not in order: sorted by number",
		"come twice, left out: thread.mbox#9",
	}
	if d := cmp.Diff(wantNotes, s.Notes); d != "" {
		t.Errorf("notes (-want +got):\n%s", d)
	}
	patched, _, err := Apply(t.Context(), sh.Runner{}, toyTree(t), series, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := lines(1, 100)
	for number, word := range map[string]string{"10": "ten", "20": "twenty, really", "30": "thirty"} {
		want = strings.Replace(want, "\n"+number+"\n", "\n"+word+"\n", 1)
	}
	if d := cmp.Diff(want, content(t, patched, "fs/splice.c")); d != "" {
		t.Errorf("tree (-want +got):\n%s", d)
	}
}

// TestSeriesIsChosen reads mailboxes of a few mails. want is the bodies'
// words in order, or the error.
func TestSeriesIsChosen(t *testing.T) {
	t.Parallel()
	p := func(subject, id, parent, word string) letter {
		return letter{subject: subject, id: id, parent: parent, body: change(10, word)}
	}
	for name, c := range map[string]struct {
		letters []letter
		want    string
		note    string
	}{
		"in order of numbers":        {[]letter{p("[PATCH 2/2] b", "2", "1", "b"), p("[PATCH 1/2] a", "1", "", "a")}, "a b", "sorted"},
		"no cover letter at hand":    {[]letter{p("[PATCH 1/2] a", "1", "0", "a"), p("[PATCH 2/2] b", "2", "0", "b")}, "a b", ""},
		"each in answer to the last": {[]letter{p("[PATCH 1/3] a", "1", "0", "a"), p("[PATCH 2/3] b", "2", "1", "b"), p("[PATCH 3/3] c", "3", "2", "c")}, "a b c", ""},
		"no threads":                 {[]letter{p("[PATCH 1/2] a", "1", "", "a"), p("[PATCH 2/2] b", "2", "", "b")}, "a b", ""},
		"missing":                    {[]letter{p("[PATCH 1/4] a", "1", "", "a"), p("[PATCH 3/4] c", "3", "1", "c")}, "refused: v1 of the series lacks 2/4, 4/4", ""},
		"missing of the newest": {
			[]letter{p("[PATCH 1/2] a", "1", "", "a"), p("[PATCH 2/2] b", "2", "1", "b"), p("[PATCH v2 2/2] b", "3", "2", "bb")},
			"refused: v2 of the series lacks 1/2 (older than v2, left out: v1 with 2 patches)", "",
		},
		"twice and the same": {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH 1/1] a", "1", "", "a")}, "a", "come twice, left out: t.mbox#2"},
		"twice and different": {[]letter{p("[PATCH 1/2] a", "1", "0", "a"), p("[PATCH 1/2] a", "2", "0", "x"), p("[PATCH 2/2] b", "3", "0", "b")},
			"refused: 1/2 comes twice and differs: t.mbox#1 and t.mbox#2", ""},
		"newest, not last":   {[]letter{p("[PATCH v3] a", "3", "", "c"), p("[PATCH v10] a", "10", "", "x"), p("[PATCH] a", "1", "", "a")}, "x", "older than v10, left out: t.mbox#1, t.mbox#3"},
		"sent again":         {[]letter{p("[PATCH RESEND 1/1] a", "2", "", "aa"), p("[PATCH 1/1] a", "1", "", "a")}, "aa", "older"},
		"renamed, by thread": {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH v2 1/1] b", "2", "1", "b")}, "b", "older"},
		"two series": {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH v2 1/1] b", "2", "", "b")},
			`refused: more than one series: "b" (v2, 1 of 1 patches) and "a" (v1, 1 of 1 patches); name one mail thread`, ""},
		"two series of a version": {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH 1/1] b", "2", "", "b")}, "refused: more than one series", ""},
		"each in answer to the version before": {[]letter{
			p("[PATCH 1/2] a", "1", "0", "a"), p("[PATCH 2/2] b", "2", "0", "b"),
			p("[PATCH v2 1/2] c", "3", "1", "c"), p("[PATCH v2 2/2] d", "4", "2", "d")}, "c d", "older"},
		"fix in answer":           {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH] fixup", "2", "1", "b")}, "a", "in answer to the series, left out: t.mbox#2"},
		"no numbers":              {[]letter{p("[PATCH] b", "1", "", "b"), p("[PATCH] a", "2", "", "a")}, "b a", ""},
		"only answers":            {[]letter{p("Re: [PATCH] a", "1", "", "a"), {subject: "Re: [PATCH] a", id: "2", parent: "1"}}, "a", "all patches are answers"},
		"a number without a diff": {[]letter{p("[PATCH 1/2] a", "1", "", "a"), {subject: "[PATCH 2/2] b", id: "2", parent: "1"}}, "refused: t.mbox#2: refused: there is no diff in it, it changes nothing", ""},
		"no patch":                {[]letter{{subject: "a", id: "1"}, {subject: "Re: a", id: "2"}}, "refused: no patch in it", ""},
		"too many":                {[]letter{p("[PATCH 1/9999] a", "1", "", "a"), p("[PATCH 2/9999] b", "2", "1", "b")}, "refused: it says that it has 9999 patches, more than 512", ""},
		"more than there are":     {[]letter{p("[PATCH 1/1] a", "1", "", "a"), p("[PATCH 2/1] b", "2", "1", "b")}, "a b", "number 2 in a series of 1"},
		"a circle": {[]letter{p("[PATCH 1/2] a", "1", "2", "a"), p("[PATCH 2/2] b", "2", "1", "b"),
			{subject: "Re: x", id: "3", parent: "4"}, {subject: "Re: x", id: "4", parent: "3"}}, "a b", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			series, err := Load([]string{mbox(t, c.letters...)})
			if want, refused := strings.CutPrefix(c.want, "refused: "); refused || err != nil {
				if !refused || !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %s", err, c.want)
				}
				return
			}
			var words []string
			for _, p := range series[0].Patches {
				_, word, _ := strings.Cut(string(p.raw), "\n+")
				word, _, _ = strings.Cut(word[strings.Index(word, "\n+")+2:], "\n")
				words = append(words, word)
			}
			if got := strings.Join(words, " "); got != c.want {
				t.Errorf("patches %s, want %s; notes %q", got, c.want, series[0].Notes)
			}
			if got := strings.Join(series[0].Notes, "\n"); !strings.Contains(got, c.note) || c.note == "" && got != "" {
				t.Errorf("notes %q, want %q", got, c.note)
			}
		})
	}
}

func TestFolderOfVersions(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"0001-a.patch":               asMail("[PATCH 1/2] a", change(10, "a")),
		"0002-b.patch":               asMail("[PATCH 2/2] b", change(20, "b")),
		"v2-0000-cover-letter.patch": asMail("[PATCH v2 0/1] c", ""),
		"v2-0001-a.patch":            asMail("[PATCH v2 1/1] a", change(10, "aa")),
	})
	s := mustLoad(t, dir)[0]
	if len(s.Patches) != 1 || s.Patches[0].Name != "v2-0001-a.patch" || s.Title != "c" {
		t.Errorf("%+v", s)
	}
}

// TestFolderThatIsAQueue: patches of several series that somebody keeps in an
// order of his own.
func TestFolderThatIsAQueue(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"01-z.patch": asMail("[PATCH 3/5] z", change(10, "z")),
		"02-a.patch": asMail("[PATCH 1/2] a", change(20, "a")),
		"03-x.diff":  change(30, "x"),
	})
	s := mustLoad(t, dir)[0]
	var names []string
	for _, p := range s.Patches {
		names = append(names, p.Name)
	}
	if want := []string{"01-z.patch", "02-a.patch", "03-x.diff"}; !slices.Equal(names, want) || len(s.Notes) != 1 {
		t.Errorf("patches %q, want %q; notes %q", names, want, s.Notes)
	}
	lost := folder(t, map[string]string{"0001-a.patch": asMail("[PATCH 1/3] a", change(10, "a")), "0003-c.patch": asMail("[PATCH 3/3] c", change(30, "c"))})
	if _, err := Load([]string{lost}); err == nil || !strings.Contains(err.Error(), "lacks 2/3") {
		t.Errorf("error %v", err)
	}
	empty := folder(t, map[string]string{"0001-a.patch": asMail("[PATCH] a", change(10, "a")), "0002-b.patch": ""})
	if _, err := Load([]string{empty}); err == nil || !strings.Contains(err.Error(), "0002-b.patch: refused: there is no diff in it, it changes nothing") {
		t.Errorf("error %v", err)
	}
}

func TestOneMailOfASeriesIsTaken(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, mbox(t, letter{subject: "Re: [PATCH v2 3/5] a", body: change(10, "a")}))[0]
	if len(s.Patches) != 1 || len(s.Missing) != 0 || s.Version != 2 || len(s.Notes) != 1 {
		t.Errorf("%+v", s)
	}
}

// TestAttachedMailsAreASeries loads the mail with two patches attached.
func TestAttachedMailsAreASeries(t *testing.T) {
	t.Parallel()
	s := mustLoad(t, "mail/testdata/attached-mails.eml")[0]
	if len(s.Patches) != 2 || s.Patches[0].Subject != "fs: say ten" || s.Patches[1].Name != "attached-mails.eml+1" {
		t.Errorf("%+v", s.Patches)
	}
}

// TestFlawedMailsAreRefused: with the reason, in one line.
func TestFlawedMailsAreRefused(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"flowed.eml": "format=flowed", "html.eml": "HTML only", "uuencode.eml": "transfer encoding", "broken-base64.eml": "base64",
	} {
		_, err := Load([]string{"mail/testdata/" + name})
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
	}
}

func TestBinaryBombsAreRefused(t *testing.T) {
	t.Parallel()
	big := func(n int) string {
		return fmt.Sprintf("diff --git a/f%[1]d b/f%[1]d\nnew file mode 100644\nGIT binary patch\nliteral 16777216\nPcmZQzU|?imU|;|M00961\n\nliteral 0\nHcmV?d00001\n\n", n)
	}
	var many strings.Builder
	for n := range 5 {
		many.WriteString(big(n))
	}
	for name, c := range map[string]struct{ text, want string }{
		// 20 bytes that ask for a file of 4 TiB
		"delta": {"diff --git a/x b/x\nGIT binary patch\n" + deltaBomb(t, 1<<42) + "\n", "larger than 16 MiB"},
		"sign":  {"diff --git a/x b/x\nGIT binary patch\n" + deltaBomb(t, 1<<63) + "\n", "larger than 16 MiB"},
		"many":  {many.String(), "binary changes larger than 64 MiB"},
	} {
		mails, err := mail.Parse("x.patch", []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := gather(mails, mail.File); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// deltaBomb is a binary fragment that says to make a file of size bytes.
func deltaBomb(t *testing.T, size uint64) string {
	t.Helper()
	var raw bytes.Buffer
	w := zlib.NewWriter(&raw)
	delta := append(binary.AppendUvarint(nil, 1), binary.AppendUvarint(nil, size)...)
	if _, err := w.Write(delta); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := raw.Bytes()
	if len(data) > 26 {
		t.Fatalf("%d bytes do not fit into one line", len(data))
	}
	return fmt.Sprintf("delta %d\n%c%s\n", len(delta), 'A'+len(data)-1, base85(data))
}

// base85 is git's, of data padded to whole words.
func base85(data []byte) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
	data = append(bytes.Clone(data), make([]byte, (4-len(data)%4)%4)...)
	var out []byte
	for ; len(data) > 0; data = data[4:] {
		word, five := binary.BigEndian.Uint32(data), [5]byte{}
		for i := 4; i >= 0; i-- {
			five[i] = digits[word%85]
			word /= 85
		}
		out = append(out, five[:]...)
	}
	return string(out)
}
