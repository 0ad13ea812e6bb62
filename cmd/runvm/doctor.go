package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"github.com/runvm/runvm/internal/distro"
	"github.com/runvm/runvm/internal/run"
	"github.com/runvm/runvm/internal/vm"
)

// roomForBuild is what a source, its objects and its image take, in GiB.
const roomForBuild = 5

func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "say what this machine can do and what it lacks",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "install", Usage: "install what is missing"},
			verboseFlag(),
		},
		OnUsageError: onUsageError,
		Action:       doctorAction,
	}
}

func doctorAction(ctx context.Context, c *cli.Command) error {
	cond, err := conductor(c)
	if err != nil {
		return err
	}
	needs := append(distro.Build(), distro.VM()...)
	if c.Bool("install") {
		if err := cond.Host.Ensure(ctx, needs); err != nil {
			return err
		}
	}
	tw := tabwriter.NewWriter(cond.Out, 0, 8, 2, ' ', 0)
	missing := distro.Missing(needs)
	d := &doctor{tw, cond}
	d.tools(needs, missing)
	d.qemu(ctx)
	d.version(ctx, "gcc", "gcc", "--version")
	d.version(ctx, "ccache", "ccache", "--version")
	d.version(ctx, "go", "go", "version")
	d.sources(ctx)
	d.disk()
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(missing) > 0 {
		fmt.Fprintf(cond.Out, "\nto install what is missing: %s\n", distro.Type(missing))
		return exitCode(1)
	}
	return nil
}

// A doctor writes a line a finding.
type doctor struct {
	w    io.Writer
	cond *run.Conductor
}

func (d *doctor) line(what, state, format string, args ...any) {
	fmt.Fprintf(d.w, "%s\t%s\t%s\n", what, state, fmt.Sprintf(format, args...))
}

func (d *doctor) tools(needs, missing []distro.Need) {
	for _, n := range needs {
		state := "ok"
		for _, m := range missing {
			if m == n {
				state = "MISSING"
			}
		}
		d.line(n.Tool, state, "%s (package %s)", n.Why, n.Package)
	}
}

func (d *doctor) qemu(ctx context.Context) {
	d.version(ctx, "QEMU", vm.DefaultQEMU, "--version")
	accel, err := vm.Pick(ctx, vm.Auto, vm.DefaultQEMU, "")
	if err != nil {
		d.line("accelerator", "unknown", "%v", err)
		return
	}
	d.line("accelerator", accel.Name, "%s (probed in %.1f s)", accel.Why, accel.Took.Seconds())
}

// version shows the first line of what a program says of itself.
func (d *doctor) version(ctx context.Context, what, name string, args ...string) {
	out, err := d.cond.Sh.Command(ctx, "", name, args...).Output()
	if err != nil {
		d.line(what, "absent", "%v", err)
		return
	}
	first, _, _ := strings.Cut(string(out), "\n")
	d.line(what, "ok", "%s", first)
}

// sources says which kernels apt has.
func (d *doctor) sources(ctx context.Context) {
	out, err := d.cond.Sh.Command(ctx, "", "apt-cache", "--names-only", "search", `^linux-source-[0-9]+\.[0-9]+$`).Output()
	if err != nil {
		d.line("sources", "kernel.org", "no apt here: -kernel 6.12 is the newest 6.12.y of kernel.org")
		return
	}
	var names []string
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(line, " ")
		names = append(names, strings.TrimPrefix(name, "linux-source-"))
	}
	d.line("sources", "ok", "-kernel %s from the configured suites, others from the same archive or kernel.org", strings.Join(names, ", "))
}

func (d *doctor) disk() {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.cond.Cache, &fs); err != nil {
		d.line("disk", "unknown", "%v", err)
		return
	}
	free := int64(fs.Bavail) * fs.Bsize >> 30
	state := "ok"
	if free < roomForBuild {
		state = "LOW"
	}
	d.line("disk", state, "%d GiB free in %s, a kernel takes about %d; %d CPUs", free, d.cond.Cache, roomForBuild, runtime.NumCPU())
}
