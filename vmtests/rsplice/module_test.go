package rsplice

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// An empty buffer keeps the code that its destination needs: when all else of FUSE
// has ended its module cannot be removed until the pipe has gone, too.
func TestBuffersKeepTheModule(t *testing.T) {
	need(t)
	if _, known := moduleUsers(t, "fuse"); !known {
		t.Skip("FUSE is no module that can be removed: see module.config")
	}
	t.Cleanup(func() { loadModules(t) })
	if _, known := moduleUsers(t, "cuse"); known { // one that needs it
		removeModule(t, "cuse")
	}

	s := mount(t, 0)
	p := claimAndUnmount(t, s)
	awaitUsers(t, "fuse", 1)
	time.Sleep(200 * time.Millisecond) // it is not another one, that is about to go
	awaitUsers(t, "fuse", 1)
	fails(t, "remove the module", unix.DeleteModule("fuse", unix.O_NONBLOCK), unix.EAGAIN)
	unix.Close(p[0])
	unix.Close(p[1])
	removeModule(t, "fuse")
}

// claimAndUnmount ends a server that has put the memory of a READ into a pipe, which
// is all that is left of it.
func claimAndUnmount(t *testing.T, s *server) (p [2]int) {
	t.Helper()
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	s.read(t, 0, guest.PageSize())
	s.pipe = p
	s.claim(t, s.next(t))
	s.end()
	s.device, s.afterUnmount, s.beforeUnmount = -1, nil, nil
	return p
}

// moduleUsers is how many references there are to a module, if it is one that is
// loaded.
func moduleUsers(t *testing.T, name string) (users int, known bool) {
	t.Helper()
	b, err := os.ReadFile("/sys/module/" + name + "/refcnt")
	if errors.Is(err, os.ErrNotExist) {
		return 0, false
	}
	if err == nil {
		users, err = strconv.Atoi(strings.TrimSpace(string(b)))
	}
	if err != nil {
		t.Fatal(err)
	}
	return users, true
}

// awaitUsers waits until a module has as many references as it should: some go
// when the kernel comes to it.
func awaitUsers(t *testing.T, name string, want int) {
	t.Helper()
	got, _ := moduleUsers(t, name)
	for end := time.Now().Add(prompt); got > want && time.Now().Before(end); got, _ = moduleUsers(t, name) {
		time.Sleep(10 * time.Millisecond)
	}
	if got != want {
		t.Fatalf("module %s has %d users, want %d", name, got, want)
	}
}

func removeModule(t *testing.T, name string) {
	t.Helper()
	awaitUsers(t, name, 0)
	if err := unix.DeleteModule(name, unix.O_NONBLOCK); err != nil {
		t.Fatalf("remove module %s: %v", name, err)
	}
}

// loadModules loads what was loaded before the first test and is not there any more.
func loadModules(t *testing.T) {
	t.Helper()
	for _, path := range guest.Modules(t) {
		fd := open(t, path, unix.O_RDONLY)
		if err := unix.FinitModule(fd, "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
			t.Errorf("load %s: %v", path, err)
		}
	}
}
