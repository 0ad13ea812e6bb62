package distro

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/runvm/runvm/internal/sh"
)

// fakeApt is an apt-get that installs a program into its own folder, but only
// after an update, as on a machine whose package lists were never fetched.
const fakeApt = `#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/log"
case "$*" in
*update*) touch "$here/lists" ;;
*) [ -e "$here/lists" ] || { echo "E: Unable to locate package" >&2; exit 100; }
   printf '#!/bin/sh\n' > "$here/runvm-test-tool"; chmod +x "$here/runvm-test-tool" ;;
esac
`

func system(t *testing.T, osRelease string, root bool) (*System, *bytes.Buffer, string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write("os-release", osRelease)
	write("apt-get", fakeApt)
	write("sudo", "#!/bin/sh\nexit 1\n")
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	var out bytes.Buffer
	return &System{Sh: sh.Runner{}, Out: &out, OSRelease: filepath.Join(dir, "os-release"), Root: root}, &out, dir
}

var need = []Need{{"runvm-test-tool", "runvm-test-package", "is tested"}}

func TestEnsureInstallsAndSaysWhy(t *testing.T) {
	s, out, dir := system(t, "ID=ubuntu\nID_LIKE=\"debian\"\n", true)
	if err := s.Ensure(t.Context(), need); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "runvm-test-package is tested") {
		t.Errorf("said %q", out.String())
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	if !strings.Contains(string(log), "update") {
		t.Errorf("package lists were not renewed: %q", log)
	}
	out.Reset()
	if err := s.Ensure(t.Context(), need); err != nil || out.Len() != 0 {
		t.Errorf("a second call: error %v, output %q", err, out.String())
	}
}

func TestEnsureWithoutRightsPrintsTheCommand(t *testing.T) {
	s, _, dir := system(t, "ID=debian\n", false)
	const script = "'apt-get update; apt-get -y --no-install-recommends install runvm-test-package'"
	for _, want := range []string{"sudo sh -c " + script, "su - -c " + script} {
		err := s.Ensure(t.Context(), need)
		if want := "missing runvm-test-tool: type: " + want; err == nil || err.Error() != want {
			t.Errorf("error %v\nwant  %s", err, want)
		}
		if err := os.Remove(filepath.Join(dir, "sudo")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir) // where there is no sudo, now
	}
}

func TestEnsureElsewhereNamesWhatIsMissing(t *testing.T) {
	s, _, _ := system(t, "ID=fedora\n", true)
	var missing *MissingError
	if err := s.Ensure(t.Context(), need); !errors.As(err, &missing) || !strings.Contains(err.Error(), "runvm-test-tool") {
		t.Errorf("error %v", err)
	}
}

func TestEnsureReportsPackagesThatDoNotHelp(t *testing.T) {
	s, _, dir := system(t, "ID=debian\n", true)
	if err := os.WriteFile(filepath.Join(dir, "apt-get"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	var missing *MissingError
	if err := s.Ensure(t.Context(), need); !errors.As(err, &missing) {
		t.Errorf("error %v, want a MissingError", err)
	}
}
