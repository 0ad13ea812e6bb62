package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/runvm/runvm/internal/console"
	"github.com/runvm/runvm/internal/symbol"
	"github.com/runvm/runvm/internal/verdict"
	"github.com/runvm/runvm/kernel"
	"github.com/runvm/runvm/kernel/patch"
)

// The bounds of decoding: the kernel may be a stranger's.
const (
	decodeTime   = 30 * time.Second // a large kernel's first time takes 2 s
	decodeFrames = 20_000           // of all crashes, those put into others included
	decodeName   = 256              // bytes of a function or a path
	indexFile    = "symbols.index"
)

// symbols is what the stacks of a run are decoded with.
type symbols struct {
	// Vmlinux is the file that was booted, or what the booted file was made
	// of; "" when there is none. Modules lie beside it, or where modules.order
	// beside it says.
	Vmlinux string `json:"vmlinux,omitempty"`
	// Bytes and Modified tell whether it still is what it was.
	Bytes    int64     `json:"bytes,omitempty"`
	Modified time.Time `json:"modified,omitzero"`
	// Direct says that QEMU started it itself. What moves a kernel is the
	// decompressor, which a vmlinux does not have.
	Direct bool `json:"direct,omitempty"`
	// Index is where its index is kept.
	Index string `json:"index,omitempty"`
	// Modules are files that the tests brought along.
	Modules []string `json:"modules,omitempty"`
	// Touched are the lines of the series, only where there is something to
	// decode.
	Touched patch.Touched `json:"touched,omitempty"`
}

// symbols finds what decodes the stacks in the console log of a run of progs,
// if it has any.
func (c *Conductor) symbols(ctx context.Context, built *Built, progs *programs, log []byte) (symbols, error) {
	info, err := os.Stat(built.Vmlinux)
	if err != nil {
		return symbols{}, nil // a bzImage has none
	}
	s := symbols{Vmlinux: built.Vmlinux, Bytes: info.Size(), Modified: info.ModTime(), Direct: built.PVH || built.BzImage == "", Index: filepath.Join(built.Dir, indexFile)}
	for _, f := range progs.files {
		if strings.HasSuffix(f.Source, kernel.ModuleSuffix) {
			s.Modules = append(s.Modules, f.Source)
		}
	}
	if built.Dir == "" {
		// nothing is written beside a file of the user's
		s.Index = filepath.Join(c.Cache, "symbol", built.Key+".index")
		if err := os.MkdirAll(filepath.Dir(s.Index), 0o755); err != nil {
			return symbols{}, err
		}
	}
	if len(built.Applied) == 0 || len(console.Find(log)) == 0 {
		return s, nil
	}
	s.Touched, err = patch.TouchedLines(ctx, c.Sh, built.Base, built.Applied)
	return s, err
}

// A stackDecoder puts lines and inlined functions into crashes.
type stackDecoder struct {
	ctx     context.Context // of one decoding
	symbols symbols
	fixed   bool // the kernel runs where it was linked
	tables  map[string]*symbol.Table
	left    int // frames that may still be added
	note    string
}

// decodeStacks decodes the stacks of report's crashes. What cannot be decoded
// stays as the log has it; a note says why when nothing can be.
func decodeStacks(report *verdict.Report, s symbols) {
	if s.Vmlinux == "" || len(report.Crashes) == 0 && report.Stuck == nil {
		return
	}
	if info, err := os.Stat(s.Vmlinux); err != nil || info.Size() != s.Bytes || !info.ModTime().Equal(s.Modified) {
		report.Notes = append(report.Notes, "stacks are not decoded: "+s.Vmlinux+" is gone or another than the one that ran")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), decodeTime)
	defer cancel()
	d := &stackDecoder{ctx: ctx, symbols: s, fixed: s.Direct || unmoved(report.Run.Machine.Command), tables: map[string]*symbol.Table{}, left: decodeFrames}
	defer d.close()
	for i := range report.Crashes {
		d.crash(&report.Crashes[i].Crash)
	}
	if s := report.Stuck; s != nil {
		for _, tasks := range [][]console.Task{s.CPUs, s.Blocked} {
			for i := range tasks {
				tasks[i].Frames = d.stack(tasks[i].Frames)
			}
		}
	}
	if d.note != "" {
		report.Notes = append(report.Notes, "stacks are not decoded: "+d.note)
	}
}

// unmoved says that the kernel was told to stay where it was linked.
func unmoved(command []string) bool {
	return slices.ContainsFunc(command, func(arg string) bool {
		return slices.Contains(strings.Fields(arg), "nokaslr")
	})
}

func (d *stackDecoder) close() {
	for _, t := range d.tables {
		if t != nil {
			t.Close()
		}
	}
}

func (d *stackDecoder) crash(c *console.Crash) {
	guilty := d.frames(c.Guilty)
	if own := guilty[len(guilty)-1]; own.Func != "" {
		c.Guilty = own
	}
	c.Frames = d.stack(c.Frames)
	for i := range c.Stacks {
		c.Stacks[i].Frames = d.stack(c.Stacks[i].Frames)
	}
}

func (d *stackDecoder) stack(frames []console.Frame) []console.Frame {
	var decoded []console.Frame
	for _, f := range frames {
		decoded = append(decoded, d.frames(f)...)
	}
	return decoded
}

// frames returns f decoded, after the functions that were put into it.
func (d *stackDecoder) frames(f console.Frame) []console.Frame {
	found, doubt := d.look(f)
	f.Doubt = doubt
	if len(found) == 0 || d.left < len(found) {
		return []console.Frame{f}
	}
	d.left -= len(found)
	var decoded []console.Frame
	for _, in := range found {
		out := console.Frame{Func: shorten(in.Func), Module: f.Module, Inlined: true, Line: f.Line}
		if !in.Inlined {
			out = f
			if out.Func == "" {
				out.Func = shorten(in.Func)
			}
		}
		if in.File != "" && in.Line > 0 {
			out.Source = shorten(in.File) + ":" + strconv.Itoa(in.Line)
			out.Patch = d.symbols.Touched.At(in.File, in.Line)
		}
		decoded = append(decoded, out)
	}
	return decoded
}

// look finds f in the kernel, or in the module that has it.
func (d *stackDecoder) look(f console.Frame) (found []symbol.Frame, doubt string) {
	table := d.table(f.Module)
	if table == nil {
		return nil, ""
	}
	var err error
	switch {
	case f.Func != "" && f.Size > 0:
		p := symbol.Place{Symbol: f.Func, Offset: f.Offset, Size: f.Size, Return: !f.Exact}
		if f.Symbol != "" {
			p.Symbol = f.Symbol
		}
		found, doubt, err = table.Look(d.ctx, p)
	case f.Address != "" && d.fixed:
		var addr uint64
		if addr, err = strconv.ParseUint(f.Address, 16, 64); err == nil {
			found, err = table.At(d.ctx, addr, !f.Exact)
		}
	}
	if err != nil && !errors.Is(err, symbol.ErrUnknown) {
		d.note = err.Error()
	}
	return found, doubt
}

// table opens the table of a module, "" for the kernel; nil when there is none.
func (d *stackDecoder) table(module string) *symbol.Table {
	if t, ok := d.tables[module]; ok {
		return t
	}
	file, index := d.symbols.Vmlinux, d.symbols.Index
	if module != "" {
		file, index = d.symbols.module(module), ""
	}
	if file == "" {
		return nil
	}
	t, err := symbol.Open(d.ctx, file, index)
	switch {
	case errors.Is(err, symbol.ErrNoDebugInfo) && module == "":
		d.note = "the kernel was built without debug information, which the profiles debug and dump have"
	case err != nil && !errors.Is(err, symbol.ErrNoDebugInfo):
		d.note = err.Error()
	}
	d.tables[module] = t
	return t
}

// module finds a module's file, "" when there is none: what the tests brought
// was loaded before what the kernel's build made.
func (s *symbols) module(name string) string {
	dir := filepath.Dir(s.Vmlinux)
	beside, _ := filepath.Glob(filepath.Join(dir, "*"+kernel.ModuleSuffix))
	built, _ := kernel.ModulesIn(dir) // none where nothing was built
	for _, file := range slices.Concat(s.Modules, beside, built) {
		if kernel.ModuleName(file) == name {
			return file
		}
	}
	return ""
}

// shorten bounds a name out of debug information.
func shorten(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), decodeName)], "?")
}

// judgeWith records what decodes the stacks of a run and judges it.
func (c *Conductor) judgeWith(ctx context.Context, built *Built, progs *programs, rec *recorder) (*verdict.Report, error) {
	log, err := readBounded(filepath.Join(rec.dir, consoleFile))
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	if rec.in.Symbols, err = c.symbols(ctx, built, progs, log); err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	report, err := rec.judge()
	if err != nil {
		return nil, fmt.Errorf("judge: %w", err)
	}
	return report, nil
}
