package source

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// A mirror is a server of releases with a key of its own.
type mirror struct {
	*httptest.Server
	key   *openpgp.Entity
	mu    sync.Mutex
	files map[string][]byte
	asked []string // "path range"
}

func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{files: map[string][]byte{}, key: newKey(t)}
	m.Server = httptest.NewServer(m)
	t.Cleanup(m.Close)
	return m
}

func newKey(t *testing.T) *openpgp.Entity {
	t.Helper()
	key, err := openpgp.NewEntity("test", "", "test@example.com", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
	text, ok := m.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

// add puts a release on the server and signs the sums of all.
func (m *mirror) add(t *testing.T, version string) {
	t.Helper()
	sub := "0"
	if parts := strings.Split(version, "."); len(parts) == 3 {
		sub = parts[2]
	}
	m.files["/v6.x/linux-"+version+".tar.xz"] = compress(t, tarball(t, "linux-"+version, toy(sub)))
	m.sign(t, m.key)
}

func (m *mirror) sign(t *testing.T, key *openpgp.Entity) {
	t.Helper()
	var buf bytes.Buffer
	w, err := clearsign.Encode(&buf, key.PrivateKey, nil)
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range m.files {
		if name, ok := strings.CutPrefix(path, "/v6.x/linux-"); ok {
			fmt.Fprintf(w, "%s  linux-%s\n", digest(text), name)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	m.files["/v6.x/sha256sums.asc"] = buf.Bytes()
}

// store is a store of this mirror on a machine without apt.
func (m *mirror) store(t *testing.T) *Store {
	t.Helper()
	var buf bytes.Buffer
	w, err := armor.Encode(&buf, openpgp.PublicKeyType, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.key.Serialize(w); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &Store{Dir: t.TempDir(), KernelOrg: m.URL, KernelOrgKey: buf.String(), bin: t.TempDir()}
}

func TestReleaseOfKernelOrg(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.add(t, "6.12.63")
	m.add(t, "6.12.9")
	m.add(t, "6.12")
	m.add(t, "6.120.7")
	s := m.store(t)
	for spec, want := range map[string]string{
		"6.12.63": "6.12.63", "v6.12.63": "6.12.63", "6.12": "6.12.63", "v6.12": "6.12.0", "6.12.0": "6.12.0",
	} {
		tree, err := s.Get(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if tree.Version != want || !strings.HasSuffix(tree.Name, "(kernel.org)") || len(tree.Digest) != 64 {
			t.Errorf("%s: %+v, want version %s", spec, tree, want)
		}
	}
	asked := len(m.asked)
	for _, spec := range []string{"6.12", "6.12.63", "v6.12"} {
		if _, err := s.Get(t.Context(), spec); err != nil {
			t.Error(err)
		}
	}
	if len(m.asked) != asked {
		t.Errorf("cached releases were asked for again: %q", m.asked[asked:])
	}
}

func TestReleaseMustBeTheOneThatWasSigned(t *testing.T) {
	t.Parallel()
	const sums, file = "/v6.x/sha256sums.asc", "/v6.x/linux-6.12.63.tar.xz"
	for name, c := range map[string]struct {
		spoil func(t *testing.T, m *mirror)
		want  error
	}{
		"other key": {func(t *testing.T, m *mirror) { m.sign(t, newKey(t)) }, ErrUntrusted},
		"changed sums": {func(_ *testing.T, m *mirror) {
			m.files[sums] = bytes.Replace(m.files[sums], []byte("6.12.63"), []byte("6.12.64"), 1)
		}, ErrUntrusted},
		"unsigned sums": {func(_ *testing.T, m *mirror) {
			m.files[sums] = []byte(digest(m.files[file]) + "  linux-6.12.63.tar.xz\n")
		}, ErrUntrusted},
		"text around": {func(_ *testing.T, m *mirror) {
			m.sign2(t, "6.12.9")
			m.files[sums] = append([]byte(digest(m.files[file])+"  linux-6.12.63.tar.xz\n"), m.files[sums]...)
		}, ErrUnknown},
		"changed archive": {func(_ *testing.T, m *mirror) { m.files[file] = append(m.files[file], 0) }, ErrUntrusted},
		"absent archive":  {func(_ *testing.T, m *mirror) { delete(m.files, file) }, nil},
		"absent sums":     {func(_ *testing.T, m *mirror) { delete(m.files, sums) }, ErrUnknown},
		"no server":       {func(_ *testing.T, m *mirror) { m.Close() }, ErrNetwork},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.add(t, "6.12.63")
			c.spoil(t, m)
			s := m.store(t)
			tree, err := s.Get(t.Context(), "6.12.63")
			if err == nil || (c.want != nil && !errors.Is(err, c.want)) || strings.Contains(err.Error(), "\n") {
				t.Errorf("tree %+v, error %q, want %v", tree, err, c.want)
			}
			t.Log(err)
		})
	}
}

// sign2 signs a list that has only the release version.
func (m *mirror) sign2(t *testing.T, version string) {
	t.Helper()
	kept := m.files
	m.files = map[string][]byte{"/v6.x/linux-" + version + ".tar.xz": nil}
	m.sign(t, m.key)
	kept["/v6.x/sha256sums.asc"] = m.files["/v6.x/sha256sums.asc"]
	m.files = kept
}

func TestDownloadIsContinued(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.add(t, "6.12.63")
	s := m.store(t)
	whole := m.files["/v6.x/linux-6.12.63.tar.xz"]
	write(t, s.Dir, map[string]string{"download/linux-6.12.63.tar.xz.part": string(whole[:100])})
	if _, err := s.Get(t.Context(), "6.12.63"); err != nil {
		t.Fatal(err)
	}
	if got := m.asked[len(m.asked)-1]; got != "/v6.x/linux-6.12.63.tar.xz bytes=100-" {
		t.Errorf("asked for %q", got)
	}
}

func TestNewestReleaseOfADayAgoServesWithoutNetwork(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.add(t, "6.12.63")
	s := m.store(t)
	first, err := s.Get(t.Context(), "6.12")
	if err != nil || first.Note != "" {
		t.Fatalf("tree %+v, %v", first, err)
	}
	old, _ := s.load("newest-6.12")
	old.Until = time.Now().Add(-time.Minute)
	if err := s.save("newest-6.12", old); err != nil {
		t.Fatal(err)
	}
	m.Close()
	again, err := s.Get(t.Context(), "6.12")
	if err != nil || again.ID != first.ID || !strings.Contains(again.Note, "no network") {
		t.Errorf("without network: %+v, %v", again, err)
	}
}

func TestBuiltInKeyIsTheOneWithTheFingerprint(t *testing.T) {
	t.Parallel()
	if _, err := (&Store{}).signer(); err != nil {
		t.Error(err)
	}
}

func TestWeakOrFutureSignatureIsRefused(t *testing.T) {
	t.Parallel()
	m := newMirror(t)
	m.add(t, "6.12.63")
	text, key := m.files["/v6.x/sha256sums.asc"], m.key.PrimaryKey
	if _, err := verify(text, key, time.Now()); err != nil {
		t.Errorf("a good signature: %v", err)
	}
	if _, err := verify(text, key, time.Now().Add(-48*time.Hour)); !errors.Is(err, ErrUntrusted) {
		t.Errorf("a signature of the day after tomorrow: %v", err)
	}
}
