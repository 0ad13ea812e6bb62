package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/internal/progress"
	"github.com/runvm/runvm/internal/sh"
)

// refresh is how long lists fetched by this package are believed.
const refresh = 24 * time.Hour

// A debPackage is a version of a Debian package that can be downloaded.
type debPackage struct {
	apt     apt // whose lists it is in
	name    string
	version string
	size    int64
	digest  string // SHA-256, from the signed lists
}

// series returns the newest tree of a series, "6.12".
func (s *Store) series(ctx context.Context, series string) (*Tree, error) {
	memoName := "newest-" + series
	if m, ok := s.load(memoName); ok && m.fresh() {
		return &m.Tree, nil
	}
	release, err := s.lock(ctx, memoName)
	if err != nil {
		return nil, err
	}
	defer release()
	old, cached := s.load(memoName)
	if cached && old.fresh() {
		return &old.Tree, nil
	}
	now, err := s.resolve(ctx, series, old.Tree)
	if err != nil {
		// Without a network yesterday's answer is better than none, yet not
		// worth being remembered as today's.
		if cached && errors.Is(err, ErrNetwork) {
			old.Tree.Note = fmt.Sprintf("the cached version of %s is used: %v", old.Tree.Fetched.Format(time.DateOnly), err)
			return &old.Tree, nil
		}
		return nil, err
	}
	note := now.Tree.Note
	err = s.save(memoName, now)
	now.Tree.Note = note
	return &now.Tree, err
}

// resolve looks for the newest tree of series: in the package lists of this
// machine, in those of Debian's other suites, at kernel.org. old is what was
// found the last time.
func (s *Store) resolve(ctx context.Context, series string, old Tree) (memo, error) {
	system := apt{run: s.Sh, bin: s.bin}
	if !system.installed() {
		tree, err := s.newestRelease(ctx, series)
		return dated(tree, nil), err
	}
	lists, err := system.lists(ctx)
	if err != nil {
		return memo{}, err
	}
	name := "linux-source-" + series
	pkg, err := system.find(ctx, name)
	if err != nil {
		return memo{}, err
	}
	if pkg != nil {
		tree, err := s.debian(ctx, series, pkg, old)
		return memo{Tree: tree, Watch: lists}, err
	}
	return s.resolveElsewhere(ctx, series, old, system, lists)
}

// resolveElsewhere is resolve for a series this machine has no package of.
func (s *Store) resolveElsewhere(ctx context.Context, series string, old Tree, system apt, lists map[string]int64) (memo, error) {
	private, stale, privateErr := s.privateApt(ctx, system)
	if errors.Is(privateErr, syscall.ENOSPC) || errors.Is(privateErr, ErrDiskFull) {
		return memo{}, privateErr // which another source would need, too
	}
	if privateErr == nil {
		pkg, err := private.find(ctx, "linux-source-"+series)
		if err != nil {
			return memo{}, err
		}
		if pkg != nil {
			tree, err := s.debian(ctx, series, pkg, old)
			tree.Note = stale
			return dated(&tree, lists), err
		}
	}
	tree, err := s.newestRelease(ctx, series)
	if err == nil {
		return dated(tree, lists), nil
	}
	if privateErr != nil {
		return memo{}, fmt.Errorf("no package linux-source-%s (%w), nor from kernel.org (%w)", series, privateErr, err)
	}
	have := strings.Join(private.series(ctx), ", ")
	if have == "" && noRoom(s.Dir) {
		return memo{}, fmt.Errorf("package lists: %w", ErrDiskFull) // apt-get did not mind
	}
	return memo{}, fmt.Errorf("no package linux-source-%s (there are: %s), nor from kernel.org (%w)", series, have, err)
}

// dated is a memo of tree that is good for a day, or until lists change.
func dated(tree *Tree, lists map[string]int64) memo {
	if tree == nil {
		return memo{}
	}
	return memo{Tree: *tree, Watch: lists, Until: time.Now().Add(refresh)}
}

// debian returns the tree in pkg, which is old when pkg is what old was made of.
func (s *Store) debian(ctx context.Context, series string, pkg *debPackage, old Tree) (Tree, error) {
	if old.Digest == pkg.digest {
		return old, nil
	}
	tree := Tree{Name: pkg.name + " " + pkg.version, Base: "debian-" + series, Digest: pkg.digest}
	dir := filepath.Join(s.Dir, "download", pkg.name)
	file, err := s.downloadDeb(ctx, dir, pkg)
	if err != nil {
		return Tree{}, fmt.Errorf("download %s %s: %w", pkg.name, pkg.version, err)
	}
	if err := s.importDeb(ctx, &tree, file); err != nil {
		return Tree{}, err
	}
	return tree, os.RemoveAll(dir)
}

// downloadDeb fetches pkg into dir, by apt: with the proxies and credentials
// configured for it and its check against the signed lists.
func (s *Store) downloadDeb(ctx context.Context, dir string, pkg *debPackage) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if file := findDeb(dir, pkg.digest); file != "" {
		return file, nil
	}
	step := s.sink().Start("download "+pkg.name+" "+pkg.version, pkg.size, progress.Bytes)
	done := make(chan struct{})
	go showGrowth(step, dir, pkg.size, done)
	err := withRoom(ctx, func() bool { return noRoom(dir) }, func(ctx context.Context) error { return pkg.apt.download(ctx, dir, pkg) })
	close(done)
	step.Done("")
	if err != nil {
		return "", err
	}
	file := findDeb(dir, pkg.digest)
	if file == "" {
		return "", fmt.Errorf("%w: its SHA-256 is not %s", ErrUntrusted, pkg.digest)
	}
	return file, nil
}

// findDeb returns the package file in dir with this digest, "" when there is
// none.
func findDeb(dir, digest string) string {
	files, _ := filepath.Glob(filepath.Join(dir, "*.deb"))
	for _, file := range files {
		if ok, _ := hasDigest(file, digest); ok {
			return file
		}
	}
	return ""
}

// showGrowth reports the size of what is in dir: apt tells its own progress
// to terminals only.
func showGrowth(step progress.Step, dir string, total int64, done <-chan struct{}) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
		}
		var size int64
		entries, _ := os.ReadDir(dir)
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil {
				size += info.Size()
			}
		}
		step.Set(min(size, total), total)
	}
}

// sourceInDeb is where a linux-source package has the kernel's archive.
var sourceInDeb = regexp.MustCompile(`^(\./)?usr/src/linux-source-[0-9.]+\.tar\.xz$`)

// importDeb imports the kernel's archive out of the package file.
func (s *Store) importDeb(ctx context.Context, tree *Tree, file string) error {
	deb := s.Sh.Command(ctx, "", filepath.Join(s.bin, "dpkg-deb"), "--fsys-tarfile", file)
	err := filter(deb, func(r io.Reader) error {
		archive := tar.NewReader(r)
		for {
			h, err := archive.Next()
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%s: %w: no /usr/src/linux-source-*.tar.xz in it", filepath.Base(file), ErrNotKernel)
			}
			if err != nil {
				return fmt.Errorf("read %s: %w", filepath.Base(file), err)
			}
			if h.Typeflag == tar.TypeReg && sourceInDeb.MatchString(h.Name) {
				return s.importXZ(ctx, tree, filepath.Base(h.Name), archive, h.Size)
			}
		}
	})
	return toolError(err, "dpkg-deb", "unpacking Debian packages")
}

// An apt is the package manager with one set of lists.
type apt struct {
	run  sh.Runner
	bin  string // folder of its programs, "" for those in PATH
	conf string // configuration file of private lists, "" for the system's
}

func (a apt) installed() bool {
	_, err := exec.LookPath(filepath.Join(a.bin, "apt-get"))
	return err == nil
}

func (a apt) command(ctx context.Context, dir, name string, args ...string) *sh.Cmd {
	if a.conf != "" {
		args = append([]string{"-c", a.conf}, args...)
	}
	return a.run.Command(ctx, dir, filepath.Join(a.bin, name), args...).With("LC_ALL=C")
}

// find returns the newest version of a package in the lists, nil for none.
func (a apt) find(ctx context.Context, name string) (*debPackage, error) {
	out, err := a.command(ctx, "", "apt-cache", "show", name).Output()
	if sh.ExitCode(err) == 100 {
		return nil, nil // its way to say that it knows no such package
	}
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", name, err)
	}
	// apt lists versions from new to old. One that is only installed has no
	// file to download.
	for record := range strings.SplitSeq(string(out), "\n\n") {
		pkg := parsePackage(record)
		if pkg.name == name && pkg.digest != "" && pkg.version != "" {
			pkg.apt = a
			return &pkg, nil
		}
	}
	return nil, nil
}

var (
	debVersion = regexp.MustCompile(`^[0-9][0-9A-Za-z.+:~-]*$`)
	hexDigest  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

func parsePackage(record string) debPackage {
	var pkg debPackage
	for line := range strings.Lines(record) {
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case field == "Package":
			pkg.name = value
		case field == "Version" && debVersion.MatchString(value):
			pkg.version = value
		case field == "Size":
			pkg.size, _ = strconv.ParseInt(value, 10, 64)
		case field == "SHA256" && hexDigest.MatchString(value):
			pkg.digest = value
		}
	}
	return pkg
}

// download fetches pkg into dir.
func (a apt) download(ctx context.Context, dir string, pkg *debPackage) error {
	cmd := a.command(ctx, dir, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", pkg.name+"="+pkg.version)
	cmd.Stdout = io.Discard
	return aptError(cmd.Run())
}

// aptError marks the failures of apt that a working network would not have
// caused.
func aptError(err error) error {
	var failed *sh.Error
	if !errors.As(err, &failed) {
		return err
	}
	for _, sign := range []string{"Could not resolve", "Temporary failure resolving", "Could not connect", "Connection failed", "Network is unreachable", "Connection timed out", "Unable to connect"} {
		if strings.Contains(failed.Stderr, sign) {
			return fmt.Errorf("%w: %w", ErrNetwork, err)
		}
	}
	return toolError(err, "apt-get", "Debian's kernel sources")
}
