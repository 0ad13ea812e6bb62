package kernel

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestBuildStoresTheWholeImage(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	image := k.mustBuild()
	if image.Cached || !image.PVH || image.Release != "6.12.117-toy" || len(image.Key) != keyDigits {
		t.Errorf("image: %+v", image)
	}
	for _, path := range []string{image.Vmlinux, image.BzImage, image.Config, image.SystemMap, image.Log} {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	text, err := os.ReadFile(image.Config)
	if err != nil || !strings.Contains(string(text), "CONFIG_TOY=y\n") {
		t.Errorf("config %q, %v", text, err)
	}
	var meta Meta
	text, err = os.ReadFile(filepath.Join(image.Dir, "meta.json"))
	if err != nil || json.Unmarshal(text, &meta) != nil || meta.Key != image.Key || meta.Steps != 2 {
		t.Errorf("meta %s, %v", text, err)
	}
	if got := k.made()[0]; got != "runvm-"+image.Short()+" clean" {
		t.Errorf("make was told %q", got)
	}
	if got := k.stored(); len(got) != 1 || got[0] != image.Key {
		t.Errorf("store holds %v", got)
	}
}

func TestBuildTwiceMakesOnce(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	first, second := k.mustBuild(), k.mustBuild()
	if !second.Cached || second.Dir != first.Dir || len(k.made()) != 1 {
		t.Errorf("made %v, second %+v", k.made(), second)
	}
}

func TestBuildAtOnceMakesOnce(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	const waits = "wait for another runvm that builds the same image"
	goOn := filepath.Join(t.TempDir(), "go-on")
	k.files["behave"] = "while [ ! -e " + goOn + " ]; do sleep 0.02; done"
	req := k.request()
	go func() {
		for t.Context().Err() == nil && strings.Count(k.steps.String(), waits) < 2 {
			time.Sleep(10 * time.Millisecond)
		}
		_ = os.WriteFile(goOn, nil, 0o644)
	}()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if _, err := k.b.Build(context.Background(), req); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(k.made()) != 1 {
		t.Errorf("made %v", k.made())
	}
}

func TestBuildCompilesWhatChanged(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	first := k.mustBuild()
	k.files["b.c"] = "int changed;"
	second := k.mustBuild()
	if second.Meta.Steps != 1 || second.Key == first.Key {
		t.Errorf("second build: %d steps, key %s after %s", second.Meta.Steps, second.Key, first.Key)
	}
	if n := strings.Count(k.steps.String(), "configure toy"); n != 1 {
		t.Errorf("configured %d times, want once: %s", n, k.steps)
	}
	k.files["Kconfig"] += "config NEW\n\tbool\n"
	k.mustBuild()
	if n := strings.Count(k.steps.String(), "configure toy"); n != 2 {
		t.Errorf("configured %d times after Kconfig changed, want twice: %s", n, k.steps)
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	key := func(req Request) string {
		t.Helper()
		p, err := k.b.plan(context.Background(), req)
		if err != nil {
			t.Fatal(err)
		}
		return p.key
	}
	base := key(k.request())

	renamed := k.request()
	renamed.Tree.Name, renamed.Tree.Base, renamed.Tree.Dirty, renamed.Jobs = "other", "other", true, 7
	if key(renamed) != base {
		t.Error("names or jobs change the key")
	}
	k.want("# another reason\nCONFIG_TOY=n\nCONFIG_TOY=y\n")
	if key(k.request()) != base {
		t.Error("comments or overridden symbols change the key")
	}
	k.want("CONFIG_TOY=y\n# since 6.13\nCONFIG_LATER=y\n")
	if key(k.request()) != base {
		t.Error("a symbol for later releases changes the key")
	}
	k.want("CONFIG_TOY=m\n")
	if key(k.request()) == base {
		t.Error("the value of a symbol does not change the key")
	}
	k.want("CONFIG_TOY=y\n")
	k.files["a.c"] += " "
	if key(k.request()) == base {
		t.Error("a file's content does not change the key")
	}
	k.files["a.c"] = "int a;"
	req := k.request()
	req.Config = filepath.Join(t.TempDir(), "user")
	if err := os.WriteFile(req.Config, []byte("CONFIG_TOY=y\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if key(req) == base {
		t.Error("the user's config does not change the key")
	}
}

func TestKeyHoldsTheToolchain(t *testing.T) {
	k := newToy(t)
	req := k.request()
	before, err := k.b.plan(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	newer := "#!/bin/sh\necho 'gcc version 14.2.0 (toy)'\n"
	if err := os.WriteFile(filepath.Join(bin, "gcc"), []byte(newer), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	after, err := k.b.plan(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	if before.key == after.key || !strings.Contains(after.toolchain, "14.2.0") {
		t.Errorf("same key for %q and %q", before.toolchain, after.toolchain)
	}
}

func TestMakeInheritsNoFlags(t *testing.T) {
	k := newToy(t)
	t.Setenv("KCFLAGS", "-O0")
	k.mustBuild()
	if got := k.made()[0]; !strings.HasSuffix(got, " clean") {
		t.Errorf("make saw the environment's KCFLAGS: %q", got)
	}
}

func TestMissingToolIsNamed(t *testing.T) {
	k := newToy(t)
	req := k.request()
	bin := t.TempDir()
	for _, tool := range tools() {
		if tool[0] == "bison" {
			continue
		}
		if err := os.Symlink(filepath.Join(mustAbs(t, "testdata/bin"), tool[0]), filepath.Join(bin, tool[0])); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin)
	_, err := k.b.Build(context.Background(), req)
	var missing *MissingTool
	if !errors.As(err, &missing) || missing.Tool != "bison" {
		t.Errorf("Build without bison: %v", err)
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func mustAbs(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// TestFailures lets make fail in every way that must be told apart, and then
// builds in the same lane.
func TestFailures(t *testing.T) {
	t.Parallel()
	const toLog = "cat >&2 <<'EOF'\n"
	for name, c := range map[string]struct {
		behave string
		check  func(error) bool
		text   string
	}{
		"compile error": {toLog + "  CC      fs/a.o\n$PWD/fs/a.c:12:9: error: 'x' undeclared\nEOF\n" +
			"echo \"$PWD/fs/a.c:13:1: error: second\" >&2\nexit 2",
			is[*BuildError], "fs/a.c:13:1: error: second"},
		"undefined symbol": {toLog + "ld: fs/a.o: in function `f':\na.c:(.text+0x5): undefined reference to `g'\nEOF\nexit 2",
			is[*BuildError], "undefined reference to `g'"},
		"no rule": {toLog + "make[3]: *** No rule to make target 'fs/x.o', needed by 'fs/built-in.a'.  Stop.\nEOF\nexit 2",
			is[*BuildError], "No rule to make target 'fs/x.o'"},
		"others go on": {toLog + "fs/a.c:1:1: error: bad\nmake[4]: *** [x] Error 1\nEOF\n" +
			"trap 'echo gcc: fatal error: Terminated signal terminated program cc1; exit 2' TERM\nsleep 600 & wait",
			is[*BuildError], "fs/a.c:1:1: error: bad"},
		"says nothing": {"exit 1", is[*BuildError], "make failed"},
		"killed compiler": {toLog + "gcc: fatal error: Killed signal terminated program cc1\ncompilation terminated.\nEOF\nexit 2",
			is[*KilledError], "cc1 was killed"},
		"killed linker": {toLog + "make[2]: *** [scripts/Makefile.vmlinux:34: vmlinux] Killed\nEOF\nexit 2",
			is[*KilledError], "was killed"},
		"killed by collect2": {toLog + "collect2: fatal error: ld terminated with signal 9 [Killed]\nEOF\nexit 2",
			is[*KilledError], "ld was killed"},
		"killed make": {"kill -KILL $$", is[*KilledError], "make was killed"},
		"full disk": {toLog + "fs/a.c:1:1: fatal error: error writing to a.s: No space left on device\nEOF\nexit 2",
			func(err error) bool { return is[*DiskFullError](err) && errors.Is(err, syscall.ENOSPC) }, "no space left"},
		"missing program": {toLog + "/bin/sh: 1: pahole: not found\nEOF\nexit 2",
			is[*MissingTool], "pahole is missing"},
		"no memory": {toLog + "make[4]: vfork: Resource temporarily unavailable\nmake[3]: *** [fs/x.o] Error 2\nEOF\nexit 2",
			is[*HostError], "vfork: Resource temporarily unavailable: this machine's fault"},
		"missing header": {toLog + "x.h:10:10: fatal error: gelf.h: No such file or directory\nEOF\nexit 2",
			is[*MissingTool], "gelf.h is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newToy(t)
			k.files["behave"] = c.behave
			_, err := k.build()
			if err == nil || !c.check(err) || !strings.Contains(all(err), c.text) {
				t.Fatalf("got %T: %v, want %q", err, err, c.text)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			if got := k.stored(); len(got) != 0 {
				t.Errorf("store holds %v after a failure", got)
			}
			k.files["behave"] = ":"
			k.mustBuild()
		})
	}
}

func is[T error](err error) bool {
	var target T
	return errors.As(err, &target)
}

// all is what people are shown of an error.
func all(err error) string {
	var build *BuildError
	if errors.As(err, &build) {
		return err.Error() + "\n" + strings.Join(build.Errors, "\n")
	}
	return err.Error()
}

func TestCompileErrorsNameTheTreesFile(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.files["behave"] = `for i in 1 2 3 4 5 6 7; do echo "$PWD/fs/a.c:$i:9: error: no" >&2; done; exit 2`
	_, err := k.build()
	var failed *BuildError
	if !errors.As(err, &failed) || len(failed.Errors) != maxErrors || failed.Errors[0] != "fs/a.c:1:9: error: no" {
		t.Fatalf("got %v", err)
	}
	if log, err := os.ReadFile(failed.Log); err != nil || strings.Count(string(log), "error: no") != 7 {
		t.Errorf("log %q, %v", log, err)
	}
}

func TestCancelLeavesTheLaneUsable(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	started := filepath.Join(t.TempDir(), "started")
	k.files["behave"] = "echo > " + started + "; sleep 600"
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for ctx.Err() == nil && !exists(started) {
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
	}()
	if _, err := k.b.Build(ctx, k.request()); !errors.Is(err, context.Canceled) {
		t.Errorf("Build: %v", err)
	}
	if got := k.stored(); len(got) != 0 {
		t.Errorf("store holds %v", got)
	}
	k.files["behave"] = ":"
	if image := k.mustBuild(); image.Meta.Steps != 0 {
		t.Errorf("%d steps: what was compiled before the cancel was lost", image.Meta.Steps)
	}
}

func TestBuildRefuses(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	good := k.request()
	for want, change := range map[string]func(*Builder, *Request){
		"without spaces":       func(b *Builder, _ *Request) { b.Cache += "/a b" },
		"absolute path":        func(b *Builder, _ *Request) { b.Cache = "cache" },
		"no kernel tree":       func(_ *Builder, r *Request) { r.Tree = nil },
		`profile "fast"`:       func(_ *Builder, r *Request) { r.Profile = "fast" },
		"read config: open":    func(_ *Builder, r *Request) { r.Config = "/no/such/file" },
		"not a file of at":     func(_ *Builder, r *Request) { r.Config = "/" },
		"not the version of a": func(_ *Builder, r *Request) { t := *r.Tree; t.Version = "x"; r.Tree = &t },
		"no kernel tree given": func(_ *Builder, r *Request) { t := *r.Tree; t.Base = "../x"; r.Tree = &t },
	} {
		b, req := k.b, good
		change(&b, &req)
		if _, err := b.Build(context.Background(), req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Build: %v, want %q", err, want)
		}
	}
}

func TestDamagedImageIsBuiltAgain(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	image := k.mustBuild()
	if err := os.Truncate(image.Vmlinux, 10); err != nil {
		t.Fatal(err)
	}
	again := k.mustBuild()
	if again.Cached || len(k.made()) != 2 {
		t.Error("a cut vmlinux was served")
	}
}

func TestImageKnowsItsSources(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	image := k.mustBuild()
	if d := cmp.Diff(map[string]bool{"Kconfig": true, "a.c": true, "b.c": true}, image.Sources()); d != "" {
		t.Errorf("sources (-want +got):\n%s", d)
	}
	// An image of before they were kept does not know.
	if err := os.Remove(filepath.Join(image.Dir, sourcesName)); err != nil {
		t.Fatal(err)
	}
	if got := image.Sources(); got != nil {
		t.Errorf("without the file: %v", got)
	}
}
