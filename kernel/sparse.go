package kernel

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/runvm/runvm/kernel/compiled"
	"github.com/runvm/runvm/kernel/kconfig"
)

// The bounds of one run of sparse.
const (
	sparseTime   = 10 * time.Minute
	maxSparseOut = 16 << 20 // bytes
	maxSparse    = 200      // files
)

// Sparse returns what sparse says of C files of req's tree: `make C=2` of
// their objects, in the lane of the source. A file that does not compile has
// none; the build will say why.
func (b *Builder) Sparse(ctx context.Context, req Request, files []string) ([]Complaint, error) {
	files = slices.DeleteFunc(slices.Clone(files), func(f string) bool { return path.Ext(f) != ".c" })
	if len(files) == 0 {
		return nil, nil
	}
	if _, err := exec.LookPath("sparse"); err != nil {
		return nil, &MissingTool{Tool: "sparse", For: "checking a kernel's source"}
	}
	p, err := b.plan(ctx, req)
	if err != nil {
		return nil, err
	}
	l, err := b.openLane(ctx, p)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if err := l.checkout(ctx); err != nil {
		return nil, l.diskFull(err)
	}
	if err := l.configure(ctx); err != nil {
		return nil, l.diskFull(err)
	}
	targets, err := l.targets(files)
	if err != nil || len(targets) == 0 {
		return nil, err
	}
	return l.sparse(ctx, targets)
}

// targets are the objects of those files that the configuration builds.
func (l *lane) targets(files []string) ([]string, error) {
	tree, err := l.compiled()
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, f := range files {
		if tree.Builds(f) && len(targets) < maxSparse {
			targets = append(targets, strings.TrimSuffix(f, ".c")+".o")
		}
	}
	return targets, nil
}

// compiled is what kbuild's makefiles say of the lane's source as it is
// configured.
func (l *lane) compiled() (*compiled.Tree, error) {
	text, err := readBounded(l.dotConfig(), maxConfig)
	if err != nil {
		return nil, err
	}
	config, err := kconfig.ReadDotConfig(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return &compiled.Tree{Config: config, Modules: modular(l.wanted), Read: func(name string) ([]byte, bool) {
		text, err := readBounded(filepath.Join(l.src, name), maxConfig)
		return text, err == nil
	}}, nil
}

func (l *lane) sparse(ctx context.Context, targets []string) ([]Complaint, error) {
	step := l.b.step("check with sparse", 0)
	defer step.Done("")
	limited, cancel := context.WithTimeout(ctx, sparseTime)
	defer cancel()
	cmd := l.command(limited, append([]string{"-k", "-j" + strconv.Itoa(l.jobs), "C=2"}, targets...))
	out := &bounded{max: maxSparseOut}
	cmd.Stdout, cmd.Stderr = out, out
	end, err := l.begin(cmd)
	if err != nil {
		return nil, err
	}
	end(killed(cmd.Run()) != syscall.SIGKILL)
	if limited.Err() != nil {
		return nil, fmt.Errorf("sparse: %w", context.Cause(limited))
	}
	return parseSparse(out.buf.Bytes(), l.src+"/", l.obj+"/"), nil
}

var (
	sparseLine = regexp.MustCompile(`^(\S+?):([0-9]+):[0-9]+: (warning|error): (.*)$`)
	// gcc's own have the flag behind them, or come with a compile error.
	gccLine = regexp.MustCompile(`\[-W[\w=+-]+\]$`)
)

// parseSparse reads sparse's complaints out of make's output. trim are the
// folders that paths may start with.
func parseSparse(out []byte, trim ...string) []Complaint {
	var all []Complaint
	for line := range bytes.Lines(out) {
		m := sparseLine.FindStringSubmatch(strings.TrimRight(string(line), "\r\n"))
		if m == nil || len(all) == maxComplaints || gccLine.MatchString(m[4]) {
			continue
		}
		for _, prefix := range trim {
			m[1] = strings.TrimPrefix(m[1], prefix)
		}
		c := Complaint{Tool: "sparse", Type: m[3], File: path.Clean(m[1]), Text: m[4]}
		c.Line, _ = strconv.Atoi(m[2])
		all = append(all, c)
	}
	return all
}
