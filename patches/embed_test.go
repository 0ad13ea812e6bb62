package patches

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"testing"
)

var subject = regexp.MustCompile(`(?m)^Subject: \[PATCH (\d+)/(\d+)\] \S`)

// TestSeriesAreWhole checks that each folder is what one format-patch run wrote:
// contiguous numbers, a cover letter, and no mail of another run left over.
func TestSeriesAreWhole(t *testing.T) {
	folders, err := fs.Glob(Series, "*")
	if err != nil || len(folders) == 0 {
		t.Fatalf("folders: %v, %v", folders, err)
	}
	for _, folder := range folders {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			checkFolder(t, folder)
		})
	}
}

func checkFolder(t *testing.T, folder string) {
	source, err := fs.ReadFile(Series, path.Join(folder, "SOURCE"))
	if err != nil || !bytes.HasPrefix(source, []byte("Cut from: ")) {
		t.Errorf("SOURCE: %q, %v", source, err)
	}
	mails, err := fs.Glob(Series, folder+"/*.patch")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range mails {
		mail, err := fs.ReadFile(Series, name)
		if err != nil {
			t.Fatal(err)
		}
		if prefix := fmt.Sprintf("%04d-", i); path.Base(name)[:5] != prefix {
			t.Errorf("%s: want a name that begins with %s", name, prefix)
		}
		m := subject.FindSubmatch(mail)
		last := fmt.Sprint(len(mails) - 1)
		want := fmt.Sprintf("%0*d/%s", len(last), i, last)
		if m == nil || string(m[1])+"/"+string(m[2]) != want {
			t.Errorf("%s: subject %q, want number %s", name, m, want)
		}
		if bytes.Contains(mail, []byte("*** ")) {
			t.Errorf("%s: has a template's text", name)
		}
	}
}
