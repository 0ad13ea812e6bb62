// Package recipe holds what a run was made of, so that it can be repeated:
// recipe.json in the folder of the run, and bundles, which are that folder
// without what follows from it. A recipe may come from a stranger: Read and
// Unpack bound it and refuse what leaves its folder; nothing of it is executed
// outside of guests.
package recipe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/runvm/runvm/internal/verdict"
)

// Schema is the version of Recipe as JSON. A field that is added leaves it; a
// field that changes its meaning or goes raises it.
const Schema = 1

// Name is the file of a recipe in the folder of its run.
const Name = "recipe.json"

// ErrBad is a recipe or bundle that cannot be used.
var ErrBad = errors.New("not a recipe")

// A Recipe is all that a run was made of. Paths in it are relative to its
// folder; digests are SHA-256 in hex.
type Recipe struct {
	Schema  int       `json:"schema"`
	Runvm   string    `json:"runvm"` // version of runvm that wrote it
	Written time.Time `json:"written"`
	// Command is the command line, for people.
	Command   []string `json:"command,omitempty"`
	Source    Source   `json:"source"`
	Series    []Series `json:"series,omitempty"`
	Config    Config   `json:"config"`
	Toolchain string   `json:"toolchain,omitempty"` // compiler and linker
	Machine   Machine  `json:"machine"`
	Tests     Tests    `json:"tests"`
	Outcome   Outcome  `json:"outcome"`
}

// A Source is the kernel without patches.
type Source struct {
	Spec   string `json:"spec"`             // what -kernel was, or came to mean
	Commit string `json:"commit,omitempty"` // of the git tree that Spec is; what -base was, or came to mean
	Name   string `json:"name"`
	// Base names the repository in the cache that holds Tree.
	Base   string `json:"base,omitempty"`
	Tree   string `json:"tree,omitempty"` // git tree object
	Digest string `json:"digest"`         // of what was downloaded, or of a ready image; "" for a tree
	// Patched is the git tree with all patches.
	Patched string `json:"patched,omitempty"`
	Fuzz    int    `json:"fuzz,omitempty"`
}

// A Series is what one -patches named.
type Series struct {
	Name    string  `json:"name"` // as the user named it
	Patches []Patch `json:"patches"`
}

// A Patch is one file of a series.
type Patch struct {
	Name   string `json:"name"`   // as reports have it
	Digest string `json:"digest"` // of what the user gave
	File   string `json:"file"`   // its bytes: "patches/1/0001-x.patch"
	SHA256 string `json:"sha256"` // of File
}

// A Config is how the kernel was configured.
type Config struct {
	Profile string `json:"profile,omitempty"`
	// Own says that a .config or fragments of the user's went into it.
	Own    bool   `json:"own,omitempty"`
	SHA256 string `json:"sha256,omitempty"` // of the file config, the whole .config
	Key    string `json:"key"`              // of the image
}

// A Machine is what the kernel was booted on.
type Machine struct {
	QEMU          string        `json:"qemu"` // version
	Accel         string        `json:"accel"`
	MemoryMiB     int           `json:"memory_mib"`
	CPUs          int           `json:"cpus"`
	Deterministic bool          `json:"deterministic,omitempty"`
	Seed          int64         `json:"seed,omitempty"`
	Append        []string      `json:"append,omitempty"` // arguments of the kernel
	Net           bool          `json:"net,omitempty"`
	Shares        int           `json:"shares,omitempty"`   // directories of the host that the guest saw
	DiskMiB       int           `json:"disk_mib,omitempty"` // an empty disk
	Disk          *File         `json:"disk,omitempty"`     // or an image
	Cold          bool          `json:"cold,omitempty"`
	Silence       time.Duration `json:"silence_ns"`
	Deadline      time.Duration `json:"deadline_ns"`
	// Command is QEMU with its arguments, for people.
	Command []string `json:"command,omitempty"`
}

// Tests are what ran in the guest.
type Tests struct {
	Programs []Program `json:"programs"`
	Files    []File    `json:"files,omitempty"`
	Commands bool      `json:"commands,omitempty"` // a shell was there
	// Run, Skip, Bench, Short and Verbose are flags of go test.
	Run       string            `json:"run,omitempty"`
	Skip      string            `json:"skip,omitempty"`
	Bench     string            `json:"bench,omitempty"`
	Count     int               `json:"count,omitempty"`
	Short     bool              `json:"short,omitempty"`
	Verbose   bool              `json:"verbose,omitempty"`
	KeepGoing bool              `json:"keep_going,omitempty"`
	Retry     int               `json:"retry,omitempty"`
	KUnit     string            `json:"kunit,omitempty"` // which of the kernel's own tests ran
	Allow     []verdict.Allowed `json:"allow,omitempty"`
}

// A Program is one test program.
type Program struct {
	ID    string   `json:"id"`
	Arg   string   `json:"arg,omitempty"`
	Go    bool     `json:"go,omitempty"`
	Tests []string `json:"tests,omitempty"` // that must report
	Count int      `json:"count,omitempty"`
	Argv  []string `json:"argv"`
	Env   []string `json:"env,omitempty"`
	Dir   string   `json:"dir,omitempty"`
}

// A File lies in the guest. Without SHA256 and Link it is a directory.
type File struct {
	Path   string `json:"path"` // in the guest
	Mode   uint32 `json:"mode,omitempty"`
	Link   string `json:"link,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	// From is where its bytes were on the host; in a bundle they are in
	// files/SHA256.
	From string `json:"from,omitempty"`
}

// An Outcome is how the run ended, in a form that can be compared.
type Outcome struct {
	Verdict verdict.Verdict `json:"verdict"`
	// Results has a line for each program, test and complaint of the kernel.
	Results []string `json:"results,omitempty"`
}

// Sum is the digest of data.
func Sum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// SumFile is the digest of a regular file; others would make it wait, or never end.
func SumFile(ctx context.Context, name string) (string, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s: not a regular file", name))
	}
	h := sha256.New()
	for {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		switch _, err := io.CopyN(h, f, sumAtOnce); {
		case errors.Is(err, io.EOF):
			return hex.EncodeToString(h.Sum(nil)), nil
		case err != nil:
			return "", err
		}
	}
}

// sumAtOnce is how much SumFile reads between two looks at its context.
const sumAtOnce = 16 << 20

// OutcomeOf is r's.
func OutcomeOf(r *verdict.Report) Outcome {
	o := Outcome{Verdict: r.Verdict}
	for _, p := range r.Programs {
		o.Results = append(o.Results, fmt.Sprintf("%s: %s", p.ID, p.Verdict))
		for _, t := range p.Tests {
			o.Results = append(o.Results, fmt.Sprintf("%s: %s: %s", p.ID, t.Name, t.Verdict))
		}
	}
	for _, c := range r.Crashes {
		o.Results = append(o.Results, "kernel: "+c.Title)
	}
	return o
}

// Differs lists how now differs from o, a line each.
func (o *Outcome) Differs(now Outcome) []string {
	var all []string
	if o.Verdict != now.Verdict {
		all = append(all, fmt.Sprintf("verdict: %s here, %s in the recipe", now.Verdict, o.Verdict))
	}
	count := map[string]int{}
	for _, r := range o.Results {
		count[r]++
	}
	for _, r := range now.Results {
		if count[r]--; count[r] < 0 {
			all = append(all, "only here: "+r)
		}
	}
	for _, r := range o.Results {
		if count[r] > 0 {
			count[r]--
			all = append(all, "only in the recipe: "+r)
		}
	}
	return all
}

// Write writes r into the folder dir, whole or not at all.
func (r *Recipe) Write(dir string) error {
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(dir, Name), append(data, '\n'), 0o644)
}

// The bounds of a recipe.
const (
	maxRecipe = 64 << 20 // bytes
	maxFiles  = 20_000
	maxSeries = 64
)

// Read reads the recipe in the folder dir and checks it.
func Read(dir string) (*Recipe, error) {
	data, err := readAll(filepath.Join(dir, Name), maxRecipe)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	var number struct {
		Schema int `json:"schema"`
	}
	if err := json.Unmarshal(data, &number); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	if number.Schema != Schema {
		return nil, fmt.Errorf("%w of this version of runvm (schema %d, this one reads %d)", ErrBad, number.Schema, Schema)
	}
	r := &Recipe{}
	if err := json.Unmarshal(data, r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBad, err)
	}
	return r, nil
}

var (
	digest    = regexp.MustCompile(`^[0-9a-f]{64}$`)
	treeID    = regexp.MustCompile(`^[0-9a-f]{40,64}$`)
	baseName  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$`)
	patchFile = regexp.MustCompile(`^patches/[0-9]{1,2}/[0-9]{4}-[A-Za-z0-9._-]{0,100}\.patch$`)
)

// check refuses what could lead out of the recipe's folder, or cannot be used.
func (r *Recipe) check() error {
	s := &r.Source
	switch {
	case s.Tree != "" && (!treeID.MatchString(s.Tree) || !baseName.MatchString(s.Base)):
		return fmt.Errorf("source %.60q in %.60q: no git tree", s.Tree, s.Base)
	case s.Tree == "" && s.Digest == "":
		return errors.New("it names no kernel")
	case s.Fuzz < 0 || len(r.Series) > maxSeries || len(r.Tests.Files) > maxFiles || len(r.Tests.Programs) > maxFiles:
		return errors.New("more than a run can have")
	case len(r.Tests.Programs) == 0:
		return errors.New("it runs nothing")
	}
	for _, series := range r.Series {
		for _, p := range series.Patches {
			if !patchFile.MatchString(p.File) || !digest.MatchString(p.SHA256) {
				return fmt.Errorf("patch %.60q: no file of the recipe", p.File)
			}
		}
	}
	for _, f := range r.files() {
		if f.SHA256 != "" && !digest.MatchString(f.SHA256) {
			return fmt.Errorf("file %.60q: no digest", f.Path)
		}
	}
	if d := r.Machine.Disk; d != nil && d.SHA256 == "" {
		return errors.New("a disk without a digest")
	}
	for _, a := range r.Tests.Allow {
		if _, err := regexp.Compile(a.Title); err != nil {
			return fmt.Errorf("allowlist: %w", err)
		}
	}
	return nil
}

// files are all that the guest saw.
func (r *Recipe) files() []File {
	all := slices.Clone(r.Tests.Files)
	if r.Machine.Disk != nil {
		all = append(all, *r.Machine.Disk)
	}
	return all
}

// readAll reads a file of at most most bytes.
func readAll(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: larger than %d MiB", name, most>>20)
	}
	return data, err
}
