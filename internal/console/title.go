package console

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/ianlancetaylor/demangle"
)

// crash names the report.
func (r *report) crash() Crash {
	c := Crash{Kind: r.rule.kind, Fault: r.rule.fault, Guilty: r.guilty(), Lines: [2]int{r.body.rows[0].n, r.body.last()}}
	title := expand(r.rule.title, r.match)
	if r.rule.describe != nil {
		c.Kind, title = r.rule.describe(r.match, r.body.rows)
	}
	function := simple(c.Guilty.Func)
	if function == "" {
		function = "corrupted"
	}
	named := strings.Contains(title, "%F")
	if named && c.Guilty.Func == "" && r.bare() {
		c.Kind, title = Warning, headline(r.body.rows[0].text)
	}
	c.Title = scrub(strings.ReplaceAll(title, "%F", function))
	c.Frames, c.Stacks = r.shown()
	r.place(&c)
	c.Damage = r.damage(named && c.Guilty.Func == "")
	c.Corrupted = c.Damage != ""
	c.Text = r.text()
	c.Fingerprint = fingerprint(c.Kind, c.Fault, c.Title, r.meaningful())
	return c
}

// asserted is the place of WARN() and BUG() in their opener.
var asserted = regexp.MustCompile(`(?:WARNING: |ernel BUG |\bat )(?:\./)?([a-zA-Z0-9_-][a-zA-Z0-9_./-]{1,200}\.(?:[chS]|rs):[0-9]+)[! ]`)

// place gives the frame that the CPU stopped at the line in which the opener
// says that it did.
func (r *report) place(c *Crash) {
	m := asserted.FindStringSubmatch(r.body.rows[0].text + " ")
	if m == nil || len(r.pointers) == 0 {
		return
	}
	stopped := []*Frame{&c.Guilty}
	if len(c.Frames) > 0 {
		stopped = append(stopped, &c.Frames[0])
	}
	for _, f := range stopped {
		if f.Exact && f.Source == "" && f.Line == r.pointers[0].Line {
			f.Source = m[1]
		}
	}
}

// bare says that of lockdep's report nothing but the headline is left.
func (r *report) bare() bool {
	switch r.rule.fault {
	case FaultDeadlock, FaultLockState, FaultRCUUsage:
	default:
		return false
	}
	for _, row := range r.body.rows[1:] {
		if strings.Contains(row.text, " at: ") || r.patterns.place.MatchString(row.text) {
			return false
		}
	}
	return strings.Contains(r.body.rows[0].text, "WARNING: ")
}

// headline is the opener without the brackets old kernels print around it.
func headline(text string) string { return strings.Trim(strings.TrimSpace(text), "[] ") }

// simple is a function's name as people know it: without the architecture and
// the wrapper of a system call, and as it is written in Rust.
func simple(name string) string {
	if rust, ok := rustName(name); ok {
		return rust
	}
	for _, arch := range []string{"__x64_sys_", "__ia32_sys_", "__arm64_sys_", "__riscv_sys_", "__s390x_sys_", "__s390_sys_", "__se_sys_"} {
		if rest, ok := strings.CutPrefix(name, arch); ok {
			return "sys_" + rest
		}
	}
	for _, wrapper := range []string{"__do_sys_", "ksys_", "SyS_", "SYSC_", "compat_SyS_", "compat_SYSC_", "____sys_", "___sys_", "__sys_"} {
		if rest, ok := strings.CutPrefix(name, wrapper); ok && rest != "" {
			return rest
		}
	}
	return name
}

// maxMangled bounds the names that are taken apart, in bytes.
const maxMangled = 512

// rustName is the path of a function compiled from Rust.
func rustName(name string) (string, bool) {
	if !strings.HasPrefix(name, "_R") || len(name) > maxMangled {
		return "", false
	}
	path, err := demangle.ToString(name, demangle.NoTemplateParams, demangle.MaxLength(10))
	return path, err == nil
}

var (
	offsets = regexp.MustCompile(`([a-zA-Z0-9_])(?:\.(?:isra|constprop|part|cold|llvm)[.0-9a-z]*)?\+0x[0-9a-f]+(?:/0x[0-9a-f]*)?`)
	places  = regexp.MustCompile(`(\.(?:[chS]|rs)):[0-9]+(?::[0-9]+)?\b`)
	cpus    = regexp.MustCompile(`\bCPU#[0-9]+`)
	hexes   = regexp.MustCompile(`\b(?:0x[0-9a-f]+|[0-9a-f]{8,16})\b`)
	numbers = regexp.MustCompile(`\b[0-9]+\b|[0-9]{7,}`) // no name holds that many digits
	cutAt   = regexp.MustCompile(`\s*\[ *[0-9]+\.[0-9]+\].*`)
)

// functionWords cuts offsets and sizes off the functions in s.
func functionWords(s string) string { return offsets.ReplaceAllString(s, "$1") }

// maxTitle bounds a title, in bytes.
const maxTitle = 200

// scrub takes out of a title what differs from run to run.
func scrub(s string) string {
	s = strings.ToValidUTF8(strings.TrimSpace(s), "?")
	s = cutAt.ReplaceAllString(s, "")
	s = functionWords(s)
	s = places.ReplaceAllString(s, "$1:LINE")
	s = cpus.ReplaceAllString(s, "CPU")
	s = hexes.ReplaceAllStringFunc(s, func(h string) string {
		if strings.Trim(h, "0123456789") == "" && len(h) < 12 {
			return "NUM"
		}
		return "ADDR"
	})
	s = numbers.ReplaceAllString(s, "NUM")
	if len(s) > maxTitle {
		s = strings.ToValidUTF8(s[:maxTitle], "")
	}
	return strings.TrimRight(s, " .:")
}

// text is the report, bounded.
func (r *report) text() string {
	var b strings.Builder
	for _, row := range r.body.rows {
		if b.Len()+len(row.text) > MaxText {
			break
		}
		b.WriteString(strings.ToValidUTF8(row.text, "?"))
		b.WriteByte('\n')
	}
	return b.String()
}

// meaningful are the first five frames from the guilty one on.
func (r *report) meaningful() []string {
	frames := r.candidates()
	if len(frames) < 2 {
		frames = append(frames, r.plain().frames...)
	}
	var names []string
	for _, f := range frames {
		if f.Func == "" || passive(f.Func) || len(names) > 0 && names[len(names)-1] == f.Func {
			continue
		}
		if names = append(names, f.Func); len(names) == 5 {
			break
		}
	}
	return names
}

// fingerprint is the same for crashes with the same kind and frames; one
// without frames is known by its title.
func fingerprint(kind Kind, fault Fault, title string, frames []string) string {
	id := string(kind) + "\n" + string(fault) + "\n" + strings.Join(frames, "\n")
	if len(frames) == 0 {
		id += title
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:8])
}
