package report

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/verdict"
)

// The objects of KCIDB's schema 5.3 that a run has. An object of a schema must
// not be null, so what is not known is left out.
type (
	kcidbDoc struct {
		Version   kcidbVersion    `json:"version"`
		Checkouts []kcidbCheckout `json:"checkouts"`
		Builds    []kcidbBuild    `json:"builds"`
		Tests     []kcidbTest     `json:"tests"`
	}
	kcidbVersion struct {
		Major int `json:"major"`
		Minor int `json:"minor"`
	}
	kcidbCheckout struct {
		ID       string         `json:"id"`
		Origin   string         `json:"origin"`
		Comment  string         `json:"comment,omitempty"`
		Patchset *string        `json:"patchset_hash,omitempty"`
		Start    string         `json:"start_time,omitempty"`
		Valid    bool           `json:"valid"`
		Misc     map[string]any `json:"misc,omitempty"`
	}
	kcidbBuild struct {
		ID       string         `json:"id"`
		Origin   string         `json:"origin"`
		Checkout string         `json:"checkout_id"`
		Comment  string         `json:"comment,omitempty"`
		Start    string         `json:"start_time,omitempty"`
		Duration float64        `json:"duration,omitempty"`
		Arch     string         `json:"architecture,omitempty"`
		Config   string         `json:"config_name,omitempty"`
		Status   string         `json:"status"`
		Misc     map[string]any `json:"misc,omitempty"`
	}
	kcidbTest struct {
		ID          string         `json:"id"`
		Origin      string         `json:"origin"`
		Build       string         `json:"build_id"`
		Path        string         `json:"path"`
		Comment     string         `json:"comment,omitempty"`
		Status      string         `json:"status"`
		Log         string         `json:"log_excerpt,omitempty"`
		Start       string         `json:"start_time,omitempty"`
		Duration    float64        `json:"duration,omitempty"`
		Environment kcidbEnv       `json:"environment"`
		Misc        map[string]any `json:"misc,omitempty"`
	}
	kcidbEnv struct {
		Comment string         `json:"comment,omitempty"`
		Misc    map[string]any `json:"misc,omitempty"`
	}
)

// maxKCIDBLog is the longest log_excerpt, in characters.
const maxKCIDBLog = 16384

// DefaultOrigin is what KCIDB's objects name as the system they come from.
const DefaultOrigin = "runvm"

// ErrOrigin is an origin that KCIDB would not accept.
var ErrOrigin = errors.New("want lower-case letters, digits and underscores")

// KCIDB writes s as JSON of KCIDB's schema 5.3: one checkout, one build, and a
// test for every case. origin names the submitter; every id starts with it.
func KCIDB(w io.Writer, s Source, origin string) error {
	if !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(origin) {
		return fmt.Errorf("origin %q: %w", origin, ErrOrigin)
	}
	k := kcidb{origin: origin, report: s.Report}
	doc := kcidbDoc{Version: kcidbVersion{5, 3}, Checkouts: []kcidbCheckout{k.checkout()}, Builds: []kcidbBuild{k.build()}, Tests: k.tests()}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(doc)
}

// kcidb makes the objects of one report.
type kcidb struct {
	origin string
	report *verdict.Report
}

func (k kcidb) id(rest string) string { return k.origin + ":" + rest }

// source identifies what was built: the tree where it is known, else the image.
func (k kcidb) source() string {
	kernel := k.report.Run.Kernel
	if kernel.Tree != "" {
		return kernel.Tree
	}
	return kernel.Key
}

func (k kcidb) checkout() kcidbCheckout {
	kernel := k.report.Run.Kernel
	c := kcidbCheckout{
		ID: k.id(k.source()), Origin: k.origin, Comment: line(kernel.Name), Start: k.start(), Valid: true,
		Patchset: patchset(kernel), Misc: map[string]any{},
	}
	if kernel.Tree != "" {
		c.Misc["tree"] = kernel.Tree
	}
	if len(kernel.Applied) > 0 {
		c.Misc["patches"] = patches(kernel)
	}
	return c
}

// patchset is KCIDB's hash of the patches: SHA-256 over their digests, a line
// each; "" where there are none, nil where the report does not tell.
func patchset(k verdict.Kernel) *string {
	hash := ""
	switch {
	case len(k.Applied) > 0:
		sum := sha256.New()
		for _, p := range k.Applied {
			io.WriteString(sum, p.Digest+"\n")
		}
		hash = hex.EncodeToString(sum.Sum(nil))
	case k.Tree == "" || len(k.Patches) > 0:
		return nil
	}
	return &hash
}

func (k kcidb) build() kcidbBuild {
	kernel := k.report.Run.Kernel
	b := kcidbBuild{
		ID: k.id(kernel.Key), Origin: k.origin, Checkout: k.id(k.source()), Comment: line(kernel.Version),
		Config: line(kernel.Profile), Arch: k.arch(), Status: "PASS", Misc: map[string]any{"key": kernel.Key},
	}
	if !kernel.Built.IsZero() {
		b.Misc["built"] = kernel.Built.UTC().Format(time.RFC3339)
	}
	for _, stage := range k.report.Run.Stages {
		if stage.Name == "build" && stage.Note != "cached" {
			b.Start, b.Duration = k.start(), stage.Elapsed.Seconds()
		}
	}
	return b
}

// arch is the machine that the guest said it is.
func (k kcidb) arch() string {
	words := strings.Fields(k.report.Uname)
	if len(words) == 0 || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(words[len(words)-1]) {
		return ""
	}
	return words[len(words)-1]
}

func (k kcidb) start() string {
	if k.report.Run.Started.IsZero() {
		return ""
	}
	return k.report.Run.Started.UTC().Format("2006-01-02T15:04:05.000000+00:00")
}

// run tells this run from all others of the origin. The name of its directory
// alone does not: a user may choose it.
func (k kcidb) run() string {
	id := line(k.report.Run.ID)
	if started := k.report.Run.Started; !started.IsZero() {
		id = started.UTC().Format("20060102T150405.000000Z") + "-" + id
	}
	return id
}

// tests is every case of every suite.
func (k kcidb) tests() []kcidbTest {
	all := []kcidbTest{}
	for _, suite := range suites(k.report) {
		for _, e := range suite.cases {
			t := kcidbTest{
				ID: k.id(fmt.Sprintf("%s/%d", k.run(), len(all)+1)), Origin: k.origin, Build: k.id(k.report.Run.Kernel.Key),
				Path: testPath(suite.name, e.Name), Comment: line(suite.name + " " + e.Name), Status: kcidbStatus(e.Test),
				Log: kcidbLog(e), Start: k.start(), Duration: e.Elapsed.Seconds(), Environment: k.environment(), Misc: map[string]any{},
			}
			if wrong(e.Verdict) {
				t.Misc["verdict"], t.Misc["reason"] = e.Verdict, line(e.Reason)
			}
			if len(e.crashes) > 0 {
				t.Misc["crashes"] = kcidbCrashes(e.crashes)
			}
			all = append(all, t)
		}
	}
	return all
}

func kcidbCrashes(crashes []verdict.Complaint) []map[string]any {
	var all []map[string]any
	for _, c := range crashes {
		all = append(all, map[string]any{"title": line(c.Title), "kind": c.Kind, "fingerprint": c.Fingerprint})
	}
	return all
}

func (k kcidb) environment() kcidbEnv {
	m := k.report.Run.Machine
	return kcidbEnv{Comment: "QEMU", Misc: map[string]any{"accelerator": m.Accel, "memory_mib": m.MemoryMiB, "cpus": m.CPUs}}
}

// kcidbStatus is what KCIDB calls a verdict. A hang is an error: whether the
// kernel or the test is at fault is not known.
func kcidbStatus(t verdict.Test) string {
	switch t.Verdict {
	case verdict.Pass:
		return "PASS"
	case verdict.Skipped:
		return "SKIP"
	case verdict.Fail, verdict.Crash:
		return "FAIL"
	case verdict.Incomplete:
		if !t.Reached {
			return "MISS"
		}
		return "ERROR"
	case verdict.Hang:
		return "ERROR"
	}
	return "MISS"
}

// kcidbLog is the crash's report, else the end of what the test wrote.
func kcidbLog(e entry) string {
	if len(e.crashes) > 0 {
		log := []rune(crashText(e.crashes))
		return string(log[:min(len(log), maxKCIDBLog)])
	}
	log := []rune(plain(e.Output))
	return string(log[max(0, len(log)-maxKCIDBLog):])
}

// testPath is a path of KCIDB's tree of tests: words of letters, digits, "_"
// and "-" with dots between them.
func testPath(suite, name string) string {
	word := regexp.MustCompile(`[^a-zA-Z0-9_-]+`)
	var words []string
	for _, part := range append([]string{runSuite}, strings.Split(suite+"/"+name, "/")...) {
		if w := strings.Trim(word.ReplaceAllString(part, "_"), "_"); w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(words, ".")
}
