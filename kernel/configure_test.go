package kernel

import (
	"errors"
	"strings"
	"testing"
)

func TestConfigErrorSaysWhatIsUnmet(t *testing.T) {
	t.Parallel()
	k := newToy(t)
	k.want("CONFIG_TOY=y\nCONFIG_FUN=y\nCONFIG_NOWHERE=y\n# CONFIG_GONE is not set\n")
	k.files["unmet"] = "TOY\nNOWHERE\n"
	_, err := k.build()
	var failed *ConfigError
	if !errors.As(err, &failed) || len(failed.Missing) != 2 {
		t.Fatalf("Build: %v", err)
	}
	for i, want := range []string{
		"CONFIG_NOWHERE=y: got n, this tree has no such symbol",
		"CONFIG_TOY=y: got n, depends on PLAY && FUN (not set: PLAY)",
	} {
		if got := failed.Missing[i].String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestKconfigFailures tells the tree's faults from this machine's where .config
// is made, and builds in the same lane.
func TestKconfigFailures(t *testing.T) {
	t.Parallel()
	const toLog, end = "cat >&2 <<EOF\n", "\nmake[2]: *** [$PWD/scripts/kconfig/Makefile:85: tinyconfig] Error 1\nEOF\nexit 2"
	for name, c := range map[string]struct {
		says  string
		check func(error) bool
		text  string
	}{
		"syntax":          {toLog + "Kconfig:3: syntax error\nKconfig:2: invalid statement" + end, is[*BuildError], "Kconfig:3: syntax error"},
		"recursion":       {toLog + "Kconfig:1:error: recursive dependency detected!" + end, is[*BuildError], "recursive dependency"},
		"makefile":        {toLog + "$PWD/Makefile:12: *** missing separator.  Stop.\nEOF\nexit 2", is[*BuildError], "build toy: Makefile:12: *** missing separator"},
		"no rule":         {toLog + "make[1]: *** No rule to make target 'scripts/x.c', needed by 'x'.  Stop.\nEOF\nexit 2", is[*BuildError], "No rule to make target"},
		"host program":    {toLog + "$PWD/a.c:3:1: error: no" + end, is[*BuildError], "build toy: a.c:3:1: error: no"},
		"warning":         {toLog + "Kconfig:3:warning: odd\nas: broken" + end, is[*HostError], "make tinyconfig: as: broken"},
		"file elsewhere":  {toLog + "/usr/include/features.h:3:1: error: no" + end, is[*HostError], "make tinyconfig: /usr/include/features.h:3:1: error: no"},
		"without libc":    {toLog + "$PWD/a.c:9:10: fatal error: sys/types.h: No such file or directory" + end, is[*MissingTool], "sys/types.h is missing"},
		"cannot write":    {toLog + "$PWD/a.c:1:1: fatal error: cannot open a.s: Read-only file system" + end, is[*HostError], "Read-only file system"},
		"says nothing":    {"exit 2", is[*HostError], "make tinyconfig: it failed without a word"},
		"killed compiler": {toLog + "gcc: fatal error: Killed signal terminated program cc1" + end, is[*KilledError], "cc1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newToy(t)
			k.files["kconfig"] = c.says
			_, err := k.build()
			if err == nil || !c.check(err) || !strings.Contains(all(err), c.text) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("got %T: %v, want %q", err, err, c.text)
			}
			k.files["kconfig"] = ":"
			k.mustBuild()
		})
	}
}
