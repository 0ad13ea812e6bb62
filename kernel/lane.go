package kernel

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/runvm/runvm/kernel/source"
)

// A lane is a folder of sources and objects, held by one build at a time.
type lane struct {
	*plan
	b      *Builder
	dir    string // <cache>/lane/<base>
	src    string // dir/src
	obj    string // dir/obj-<profile>
	log    string // dir/obj-<profile>.log
	unlock func()

	steps int // commands that make ran
}

// openLane locks the lane of p's source and makes its folders.
func (b *Builder) openLane(ctx context.Context, p *plan) (*lane, error) {
	dir := filepath.Join(b.Cache, "lane", p.tree.Base)
	obj := filepath.Join(dir, p.obj)
	l := &lane{plan: p, b: b, dir: dir, src: filepath.Join(dir, "src"), obj: obj, log: obj + ".log"}
	unlock, err := b.lock(ctx, "lane-"+p.tree.Base, "from "+p.tree.Base)
	if err != nil {
		return nil, err
	}
	l.unlock = unlock
	if err := l.prepare(ctx); err != nil {
		unlock()
		return nil, err
	}
	return l, nil
}

// prepare makes the folders, and sees to what a make that was killed has left.
func (l *lane) prepare(ctx context.Context) error {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	now := time.Now()
	_ = os.Chtimes(l.dir, now, now) // a lane is as old as its last use
	if err := l.settle(ctx); err != nil {
		return err
	}
	if err := l.salvage(); err != nil {
		return err
	}
	if err := os.MkdirAll(l.obj, 0o755); err != nil {
		return fmt.Errorf("make cache folder: %w", err)
	}
	return nil
}

func (l *lane) close() { l.unlock() }

// discard removes a folder at once for those who look, and then for good.
func discard(dir string) error {
	trash, err := os.MkdirTemp(filepath.Dir(dir), trashPrefix)
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	err = os.Rename(dir, filepath.Join(trash, "old"))
	if err == nil || os.IsNotExist(err) {
		err = os.RemoveAll(trash)
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	return nil
}

// checkout puts the tree's content into src.
func (l *lane) checkout(ctx context.Context) error {
	step := l.b.step("check out "+l.tree.Name, 0)
	defer step.Done("")
	return source.Checkout(ctx, l.b.Sh, l.tree, l.src)
}

// compile runs make, counted.
func (l *lane) compile(ctx context.Context) error {
	whole := !l.exists("vmlinux")
	total := 0
	if whole {
		total = l.ahead()
	}
	step := l.b.step(fmt.Sprintf("build %s (%s)", l.tree.Name, l.profile), int64(total))
	m, err := l.make(ctx, func(done int) {
		if whole {
			total = max(total, done)
		}
		step.Set(int64(done), int64(total))
	},
		append([]string{"-j" + strconv.Itoa(l.jobs), "KBUILD_BUILD_VERSION=runvm-" + l.key[:shortKey]}, l.goals()...)...)
	step.Done("")
	if err != nil {
		return err
	}
	l.steps = m.steps
	return nil
}

// besides is about how many commands make runs for what is no object of the
// kernel proper: headers, tools, the compressed image, links. Linux 6.12 has
// 325 of them in a tiny kernel and 337 in plain, 7.3 has 363.
const besides = 340

// ahead is about how many commands make will run for an image that was never
// finished: what the configuration asks for, less what has its record.
func (l *lane) ahead() int {
	tree, err := l.compiled()
	if err != nil {
		return 0
	}
	done := 0
	_ = filepath.WalkDir(l.obj, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(d.Name(), ".") && strings.HasSuffix(d.Name(), ".cmd") {
			done++
		}
		return nil // what cannot be read is not counted
	})
	return max(tree.Objects()+besides-done, 0)
}

func (l *lane) exists(name string) bool {
	_, err := os.Stat(filepath.Join(l.obj, name))
	return err == nil
}
