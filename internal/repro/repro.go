// Package repro reads the descriptions of bugs that can be brought back, a
// folder each in the folder repros of a module, and says whether runs of a
// kernel show such a bug.
//
// A folder holds a guest test (a Go package), patches that bring the bug back
// where the kernel at hand has it no more, and the description, repro.toml:
//
//	title   = "bytes beyond the end of a file become its content"
//	fix     = "34b5c4a6e4fb"  # the commit that fixes it upstream; may be left out where there is none
//	verdict = "fail"          # what the buggy kernel gets: fail, crash or hang
//	symptom = "want 0$"       # a regular expression: what the failed test says, the complaint's title, what hangs
//	profile = "plain"         # of both kernels, its *.config files from this folder; may be left out, as may the next three
//	append  = ["init_on_alloc=0"]  # arguments of both kernels
//	cpus    = 2
//	memory  = 512             # MiB
//
//	[buggy]
//	kernel  = "6.12"          # as -kernel
//	patches = ["0001-x.patch"]     # as -patches, from this folder
//
//	[fixed]
//	kernel  = "6.12"
package repro

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"github.com/runvm/runvm/internal/verdict"
)

const (
	folder = "repros"     // in the root of a module
	file   = "repro.toml" // in the folder of a bug
	// maxFile bounds a description, in bytes.
	maxFile = 64 << 10
)

// ErrBad is a name, a folder or a description that cannot be meant.
var ErrBad = errors.New("bad repro")

// badf returns an error that is an ErrBad and reads as the format says.
func badf(format string, args ...any) error { return &badError{fmt.Errorf(format, args...)} }

type badError struct{ error }

func (*badError) Is(target error) bool { return target == ErrBad }
func (e *badError) Unwrap() error      { return e.error }

// A Repro is a bug that can be brought back.
type Repro struct {
	Name  string // of its folder
	Root  string // of its module, absolute
	Title string // one line
	Fix   string // commit upstream, "" where there is none
	// Verdict and Symptom are what a run of the buggy kernel must end with.
	Verdict verdict.Verdict
	Symptom *regexp.Regexp
	// Profile, Append, CPUs and MemoryMiB are of both kernels; empty and 0
	// are the defaults of runvm test.
	Profile      string
	Append       []string
	CPUs         int
	MemoryMiB    int
	Buggy, Fixed Kernel
}

// A Kernel is one side of a Repro.
type Kernel struct {
	Source  string   // as -kernel
	Patches []string // absolute paths
}

// Target is the package of the guest test, from Root.
func (r *Repro) Target() string { return "./" + folder + "/" + r.Name }

// Root returns the root of the module that dir lies in and that has repros.
func Root(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		if isFile(filepath.Join(d, "go.mod")) {
			if info, err := os.Stat(filepath.Join(d, folder)); err == nil && info.IsDir() {
				return d, nil
			}
		}
		if d == filepath.Dir(d) {
			return "", badf("%s lies in no Go module with a folder %s: go to a checkout of runvm", dir, folder)
		}
	}
}

// Names returns the names of root's repros, sorted.
func Names(root string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(globEscape(root), folder, "*", file))
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, badf("no %s in %s", file, filepath.Join(root, folder, "*"))
	}
	names := make([]string, len(found))
	for i, path := range found {
		names[i] = filepath.Base(filepath.Dir(path))
	}
	slices.Sort(names)
	return names, nil
}

// globEscape makes a pattern that matches path alone.
func globEscape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// Load reads root's repro called name. An error is an ErrBad unless a file
// cannot be read.
func Load(root, name string) (*Repro, error) {
	names, err := Names(root)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, name) {
		return nil, badf("no repro %q: want %s", name, strings.Join(names, ", "))
	}
	path := filepath.Join(root, folder, name, file)
	data, err := readBounded(path)
	if err != nil {
		return nil, err
	}
	r, err := parse(root, name, data)
	if err != nil {
		return nil, badf("%s: %w", path, err)
	}
	return r, nil
}

// A side is a Kernel in a description.
type side struct {
	Kernel  string
	Patches []string
}

// parse reads the description of root's repro called name.
func parse(root, name string, data []byte) (*Repro, error) {
	var d struct {
		Title, Fix, Verdict, Symptom, Profile string
		Append                                []string
		CPUs, Memory                          int
		Buggy, Fixed                          side
	}
	meta, err := toml.Decode(string(data), &d)
	if err != nil {
		return nil, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("unknown key %s", unknown[0])
	}
	r := &Repro{
		Name: name, Root: root, Title: d.Title, Fix: d.Fix, Verdict: verdict.Verdict(d.Verdict),
		Append: d.Append, CPUs: d.CPUs, MemoryMiB: d.Memory,
	}
	if d.Title == "" || strings.ContainsAny(d.Title, "\r\n") {
		return nil, errors.New("title: want one line")
	}
	switch r.Verdict {
	case verdict.Fail, verdict.Crash, verdict.Hang:
	default:
		return nil, fmt.Errorf("verdict %q: want fail, crash or hang", d.Verdict)
	}
	if d.Symptom == "" {
		return nil, errors.New("symptom: want a regular expression")
	}
	if r.Symptom, err = regexp.Compile(d.Symptom); err != nil {
		return nil, fmt.Errorf("symptom: %w", err)
	}
	if r.Profile, err = r.profile(d.Profile); err != nil {
		return nil, fmt.Errorf("profile: %w", err)
	}
	if r.Buggy, err = r.kernel(d.Buggy); err != nil {
		return nil, fmt.Errorf("buggy: %w", err)
	}
	if r.Fixed, err = r.kernel(d.Fixed); err != nil {
		return nil, fmt.Errorf("fixed: %w", err)
	}
	return r, nil
}

// profile makes a list of profiles definite.
func (r *Repro) profile(list string) (string, error) {
	names := strings.Split(list, ",")
	for i, name := range names {
		if !strings.HasSuffix(name, ".config") {
			continue
		}
		var err error
		if names[i], err = r.file(name); err != nil {
			return "", err
		}
	}
	return strings.Join(names, ","), nil
}

// kernel makes s definite. Its patches lie in r's module.
func (r *Repro) kernel(s side) (Kernel, error) {
	if s.Kernel == "" {
		return Kernel{}, errors.New("kernel: want a source as of -kernel")
	}
	k := Kernel{Source: s.Kernel}
	for _, p := range s.Patches {
		path, err := r.file(p)
		if err != nil {
			return Kernel{}, fmt.Errorf("patches: %w", err)
		}
		k.Patches = append(k.Patches, path)
	}
	return k, nil
}

// file is the path of a file or folder in r's module, named from r's folder.
func (r *Repro) file(name string) (string, error) {
	rel := filepath.Join(folder, r.Name, name)
	if filepath.IsAbs(name) || !filepath.IsLocal(rel) {
		return "", fmt.Errorf("%s is not in the module", name)
	}
	path := filepath.Join(r.Root, rel)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s: no such file or folder", name)
	}
	return path, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// readBounded reads a file of at most maxFile bytes.
func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = badf("%s: larger than %d KiB", path, maxFile>>10)
	}
	return data, err
}
