package report

import (
	"fmt"
	"path"
	"strings"

	"github.com/runvm/runvm/internal/sh"
	"github.com/runvm/runvm/internal/verdict"
)

// A fact is one thing that is known of a run before its verdict.
type fact struct{ Name, Value string }

// facts lists what a report says of kernel, patches and machine; what is not
// known is left out.
func facts(r *verdict.Report) []fact {
	k, m := r.Run.Kernel, r.Run.Machine
	var all []fact
	add := func(name, value string) {
		if value = line(value); value != "" {
			all = append(all, fact{name, value})
		}
	}
	add("kernel", k.Name)
	add("base", k.Base)
	add("release", k.Version)
	add("uname", r.Uname)
	add("profile", k.Profile)
	add("key", k.Key)
	add("tree", k.Tree)
	if !k.Built.IsZero() {
		add("built", k.Built.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	add("series", strings.Join(k.Patches, ", "))
	if len(k.Applied) > 0 {
		add("patches", join(fmt.Sprint(len(k.Applied)), shifted(k)))
	}
	add("accelerator", join(m.Accel, m.AccelWhy))
	if m.MemoryMiB > 0 {
		add("machine", fmt.Sprintf("%d MiB, %s", m.MemoryMiB, number(m.CPUs, "CPU")))
	}
	if m.Deterministic {
		add("deterministic", fmt.Sprintf("seed %d", m.Seed))
	}
	add("ended by", string(r.End))
	var guests []string
	for _, g := range r.Guests {
		guests = append(guests, string(g.Verdict))
	}
	add("guests", strings.Join(guests, ", "))
	for _, command := range r.Run.Core {
		add("core", command)
	}
	if !r.Run.Started.IsZero() {
		add("started", r.Run.Started.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return all
}

// patches are those in k's tree, fit to be shown.
func patches(k verdict.Kernel) []verdict.Patch {
	var all []verdict.Patch
	for _, p := range k.Applied {
		all = append(all, verdict.Patch{Name: line(p.Name), Subject: line(p.Subject), Digest: line(p.Digest)})
	}
	return all
}

// shifted says how far from their places k's patches were applied, "" for not
// at all.
func shifted(k verdict.Kernel) string {
	offset, fuzz := 0, 0
	for _, p := range k.Applied {
		offset, fuzz = max(offset, p.Offset), max(fuzz, p.Fuzz)
	}
	var parts []string
	if offset > 0 {
		parts = append(parts, fmt.Sprintf("an offset of up to %s", number(offset, "line")))
	}
	if fuzz > 0 {
		parts = append(parts, fmt.Sprintf("fuzz %d", fuzz))
	}
	return strings.Join(parts, " and ")
}

// maxUncompiled bounds the lines on what was not compiled.
const maxUncompiled = 10

// notCompiled says which lines of k's patches no test can have reached, a line
// each.
func notCompiled(k verdict.Kernel) []string {
	var all []string
	for _, p := range k.Applied {
		for _, g := range p.NotCompiled {
			all = append(all, line(p.Name+": "+g.String()))
		}
	}
	if n := len(all) - maxUncompiled; n > 1 {
		all = append(all[:maxUncompiled], fmt.Sprintf("and %d more that are not compiled", n))
	}
	return all
}

// allowed lists the complaints that the allowlist covers, a line each.
func allowed(s Source) []string {
	var all []string
	for _, c := range s.Report.Crashes {
		if c.Allowed != nil {
			all = append(all, line(fmt.Sprintf("%s, %s: allowed by %s", c.Title, s.place(c), c.Allowed)))
		}
	}
	return all
}

// seriesName is what stands in a kernel's name for patches that were given as
// spec: a folder's or file's name, or standard input.
func seriesName(spec string) string {
	if spec == "-" {
		return "stdin"
	}
	return strings.TrimSuffix(path.Base(spec), ".patch")
}

// number is "1 test", "2 tests".
func number(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// recipe is the command that runs the whole of r again; "" when the report
// does not tell how it was started.
func recipe(r *verdict.Report) string { return strings.Join(recipeWords(r), " ") }

// recipeWords are the words of recipe, each quoted for a shell.
func recipeWords(r *verdict.Report) []string {
	if len(r.Run.Again) == 0 {
		return nil
	}
	args := append([]string(nil), r.Run.Again...)
	for _, p := range r.Programs {
		if p.Arg != "" {
			args = append(args, p.Arg)
		}
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(plain(sh.Quote(a)), "\n", " ")
	}
	return args
}

// command is the one that runs what went wrong in p once more; "" when the
// report does not tell.
func command(r *verdict.Report, p *verdict.Program) string {
	args := Again(r, p)
	if args == nil {
		return ""
	}
	return strings.ReplaceAll(plain(sh.Quote(args...)), "\n", " ")
}
