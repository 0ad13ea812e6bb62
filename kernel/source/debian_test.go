package source

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A toyApt is a folder with stand-ins for apt's programs. They log how they
// were called, know what is in the folders "system" and "private" (a file of
// package records and the package files), and leave the network when there
// is a file "offline". A package file is the tar that dpkg-deb would print.
type toyApt struct{ dir string }

const toyAptScript = `#!/bin/sh
dir=$(dirname "$0")
name=$(basename "$0")
echo "$name $*" >>"$dir/calls"
lists=system
[ "$1" = -c ] && lists=private && grep -q AllowInsecure "$2" && shift 2
case "$name $1" in
"apt-config "*) echo "LISTS='$dir/system'" ;;
"apt-cache show") grep -q "^Package: $2\$" "$dir/$lists/records" && cat "$dir/$lists/records" || { echo 'E: No packages found' >&2; exit 100; } ;;
"apt-cache pkgnames") sed -n "s/^Package: //p" "$dir/$lists/records" | sort -u ;;
"apt-get indextargets") cat "$dir/targets" ;;
"apt-get update")
	echo "'http://s.example/debian-security/dists/x-security/InRelease' f 0"
	echo "'http://a.example/debian/dists/x/InRelease' f 0" ;;
esac
case "$name $*" in
"apt-get update --print-uris") ;;
"apt-get -q "*)
	[ -e "$dir/offline" ] && { echo 'W: Temporary failure resolving a.example' >&2; echo 'E: Some index files failed' >&2; exit 100; }
	for last; do :; done
	[ "$last" = update ] || cp "$dir/$lists/${last%%=*}.deb" . ;;
"dpkg-deb --fsys-tarfile "*) cat "$2" ;;
esac
`

func newToyApt(t *testing.T) toyApt {
	t.Helper()
	a := toyApt{t.TempDir()}
	write(t, a.dir, map[string]string{
		"system/records": "", "private/records": "",
		"targets": "Ubuntu|Ubuntu|http://u.example/\nDebian|Debian-Security|http://s.example/debian-security/\nDebian|Debian|http://a.example/debian/\n",
	})
	for _, name := range []string{"apt-get", "apt-cache", "apt-config", "dpkg-deb"} {
		if err := os.WriteFile(filepath.Join(a.dir, name), []byte(toyAptScript), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// add makes version (6.12.x-1) of linux-source-<series> the newest in lists.
func (a toyApt) add(t *testing.T, lists, series, sublevel string) {
	t.Helper()
	name := "linux-source-" + series
	xz := compress(t, tarball(t, name, toy(sublevel)))
	deb := tarball(t, "./usr", map[string]string{"share/doc/README": "x", "src/" + name + ".tar.xz": string(xz)})
	file := filepath.Join(a.dir, lists, name+".deb")
	if err := os.WriteFile(file, deb, 0o644); err != nil {
		t.Fatal(err)
	}
	old, _ := os.ReadFile(filepath.Join(a.dir, lists, "records"))
	// An installed package without a file comes first, as apt shows it.
	record := fmt.Sprintf("Package: %[1]s\nVersion: 9-installed\n\nPackage: %[1]s\nVersion: %[2]s-1\nSize: %[3]d\nSHA256: %[4]s\nDescription: x\n y\n\n", name, sublevel, len(deb), digest(deb))
	tmp := filepath.Join(a.dir, lists, "records.new")
	if err := os.WriteFile(tmp, append([]byte(record), old...), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(a.dir, lists, "records")); err != nil {
		t.Fatal(err)
	}
}

func (a toyApt) calls(t *testing.T, what string) int {
	t.Helper()
	text, _ := os.ReadFile(filepath.Join(a.dir, "calls"))
	return strings.Count(string(text), what)
}

// store has no kernel.org: its server is closed.
func (a toyApt) store(t *testing.T) *Store {
	t.Helper()
	m := newMirror(t)
	m.Close()
	return &Store{Dir: t.TempDir(), KernelOrg: m.URL, bin: a.dir}
}

func TestDebianPackageOfTheSystem(t *testing.T) {
	t.Parallel()
	a := newToyApt(t)
	a.add(t, "system", "6.12", "117")
	s := a.store(t)
	tree, err := s.Get(t.Context(), "6.12")
	if err != nil {
		t.Fatal(err)
	}
	if tree.Name != "linux-source-6.12 117-1" || tree.Base != "debian-6.12" || tree.Version != "6.12.117" {
		t.Errorf("tree %+v", tree)
	}
	before := a.calls(t, "")
	if again, err := s.Get(t.Context(), "6.12"); err != nil || again.ID != tree.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	if a.calls(t, "") != before {
		t.Error("apt was asked although its lists have not changed")
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "download", "*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}

	a.add(t, "system", "6.12", "118")
	newer, err := s.Get(t.Context(), "6.12")
	if err != nil || newer.Version != "6.12.118" || newer.Base != tree.Base || newer.GitDir != tree.GitDir {
		t.Errorf("after apt's lists have changed: %+v, %v", newer, err)
	}
	if a.calls(t, "apt-get -q -c") > 0 || a.calls(t, "update") > 0 {
		t.Error("other lists were fetched although the system's have the package")
	}
}

func TestDebianPackageOfAnotherSuite(t *testing.T) {
	t.Parallel()
	a := newToyApt(t)
	a.add(t, "private", "7.3", "4")
	s := a.store(t)
	tree, err := s.Get(t.Context(), "7.3")
	if err != nil || tree.Base != "debian-7.3" || tree.Note != "" {
		t.Fatalf("tree %+v, %v", tree, err)
	}
	sources, _ := os.ReadFile(filepath.Join(s.Dir, "apt", "debian.sources"))
	if !strings.Contains(string(sources), "URIs: http://a.example/debian\nSuites: bookworm trixie-backports sid\n") ||
		!strings.Contains(string(sources), "URIs: http://s.example/debian-security\nSuites: bookworm-security\n") {
		t.Errorf("private lists:\n%s", sources)
	}

	// A day later there is no network.
	s.expire(t, "7.3")
	write(t, a.dir, map[string]string{"offline": ""})
	stale, err := s.Get(t.Context(), "7.3")
	if err != nil || stale.ID != tree.ID || !strings.Contains(stale.Note, "older than a day") {
		t.Errorf("without network: %+v, %v", stale, err)
	}
}

// expire makes the store believe that a day has passed.
func (s *Store) expire(t *testing.T, series string) {
	t.Helper()
	m, _ := s.load("newest-" + series)
	m.Until = time.Now().Add(-time.Minute)
	if err := s.save("newest-"+series, m); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * refresh)
	if err := os.Chtimes(filepath.Join(s.Dir, "apt", "fetched"), old, old); err != nil {
		t.Fatal(err)
	}
}

func TestDebianFailuresAreOneLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(t *testing.T, a toyApt)
		want    error
		text    string
	}{
		"no such series": {func(*testing.T, toyApt) {}, ErrNetwork, "there are: 6.1, 7.2"},
		"offline": {func(t *testing.T, a toyApt) {
			write(t, a.dir, map[string]string{"offline": ""})
		}, ErrNetwork, "no network"},
		"not Debian": {func(t *testing.T, a toyApt) {
			write(t, a.dir, map[string]string{"targets": "Ubuntu|Ubuntu|http://u.example/\n"})
		}, ErrNetwork, "no archive of Debian"},
		"wrong digest": {func(t *testing.T, a toyApt) {
			a.add(t, "system", "6.12", "1")
			write(t, a.dir, map[string]string{"system/linux-source-6.12.deb": "changed on the way"})
		}, ErrUntrusted, "SHA-256"},
		"no source in it": {func(t *testing.T, a toyApt) {
			deb := string(tarball(t, "usr", map[string]string{"src/other.tar.xz": "x"}))
			write(t, a.dir, map[string]string{
				"system/linux-source-6.12.deb": deb,
				"system/records":               "Package: linux-source-6.12\nVersion: 1\nSHA256: " + digest([]byte(deb)) + "\n",
			})
		}, ErrNotKernel, "linux-source-6.12.deb"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newToyApt(t)
			a.add(t, "private", "6.1", "1")
			a.add(t, "private", "7.2", "1")
			c.prepare(t, a)
			_, err := a.store(t).Get(t.Context(), "6.12")
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %v, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

func TestArchiveIsFoundWithoutLists(t *testing.T) {
	t.Parallel()
	a := newToyApt(t)
	write(t, a.dir, map[string]string{"targets": ""})
	got, err := apt{bin: a.dir}.archives(t.Context())
	if want := (archives{"http://a.example/debian", "http://s.example/debian-security"}); err != nil || got != want {
		t.Errorf("archives %+v, %v", got, err)
	}
}

// TestPrivateConfIsReadByApt asks the real apt, where there is one, what it
// makes of the configuration of private lists.
func TestPrivateConfIsReadByApt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("apt-config"); err != nil {
		t.Skip("needs apt-config")
	}
	conf := filepath.Join(t.TempDir(), "apt.conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, privateConf, "/cache/apt"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("apt-config", "-c", conf, "dump").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`Dir::State::lists "/cache/apt/lists"`, `Dir::Etc::sourcelist "/cache/apt/debian.sources"`, `Dir::Etc::sourceparts "/dev/null"`, `Dir::Cache::pkgcache "pkgcache.bin"`, `Acquire::AllowInsecureRepositories "false"`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("apt lacks %s", want)
		}
	}
	if hooks := regexp.MustCompile(`APT::Update::(Pre|Post)-Invoke[a-zA-Z-]*:: .*`).Find(out); hooks != nil {
		t.Errorf("a hook of the system is left: %s", hooks)
	}
}

func FuzzPackageRecord(f *testing.F) {
	f.Add("Package: linux-source-6.12\nVersion: 6.12.117-1~deb12u1\nSize: 3\nSHA256: " + strings.Repeat("a", 64))
	f.Fuzz(func(t *testing.T, record string) {
		pkg := parsePackage(record)
		if strings.HasPrefix(pkg.version, "-") || strings.ContainsAny(pkg.version+pkg.digest, " /\n") {
			t.Errorf("%+v", pkg)
		}
	})
}
