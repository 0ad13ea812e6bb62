package readtest

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	seed     = 20190626
	long     = time.Hour        // names and attributes never time out
	patience = 20 * time.Second // for what happens at once on a kernel that works
)

// A mount is a mounted server process, seen from the test.
type mount struct {
	t        testing.TB
	dir      string
	backing  string // the directory served, "" when contents are in memory
	config   config
	cmd      *exec.Cmd
	in       *json.Encoder
	out      *json.Decoder
	stop     func() // closes the server's standard input
	dev      uint64 // the file system's number, which fusectl and sysfs know
	killed   bool   // the server process is dead
	gone     bool   // the test has unmounted
	unopened bool   // the test opens no file
	refused  uint64 // READs that a path in the kernel may have refused
}

// makeFile returns a file of size bytes; each number has contents of its own.
func makeFile(name string, number uint64, size int64) file {
	return file{Name: name, Size: size, Data: size, Of: pattern.Pattern{Seed: seed, File: number}}
}

// start mounts what c says. The mount ends with the test.
func start(t testing.TB, c config, files ...file) *mount {
	t.Helper()
	poison(t)
	c.Dir, c.Files = t.TempDir(), files
	if c.Loopback != "" {
		for _, f := range files {
			writeFile(t, filepath.Join(c.Loopback, f.Name), f)
		}
	}
	m := &mount{t: t, dir: c.Dir, backing: c.Loopback, config: c}
	m.exec()
	t.Cleanup(m.end)
	if err := m.in.Encode(c); err != nil {
		t.Fatalf("configure the server: %v", err)
	}
	var s status
	if err := m.out.Decode(&s); err != nil || s.Err != "" {
		t.Fatalf("mount: %v %s", err, s.Err)
	}
	var st unix.Stat_t
	if err := unix.Stat(m.dir, &st); err != nil {
		t.Fatalf("stat %s: %v", m.dir, err)
	}
	m.dev = st.Dev
	return m
}

// writeFile puts f's bytes into a file of that name.
func writeFile(t testing.TB, name string, f file) {
	t.Helper()
	data := make([]byte, f.Data)
	_, _ = f.Of.ReadAt(data, 0) // never fails
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, f.Size); err != nil {
		t.Fatal(err)
	}
}

// exec starts the server process.
func (m *mount) exec() {
	m.cmd = exec.Command("/proc/self/exe")
	m.cmd.Env = append(os.Environ(), Env+"="+roleServe)
	m.cmd.Stderr = os.Stderr
	in, err := m.cmd.StdinPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatalf("start the server: %v", err)
	}
	m.in, m.out = json.NewEncoder(in), json.NewDecoder(out)
	m.stop = func() { _ = in.Close() }
}

// bound kills a server process that does not do within patience what the
// caller waits for, until the function returned is called.
func (m *mount) bound() func() bool {
	return time.AfterFunc(patience, func() { _ = m.cmd.Process.Kill() }).Stop
}

// order has the server do o.
func (m *mount) order(o order) status {
	m.t.Helper()
	defer m.bound()()
	var s status
	if err := m.in.Encode(o); err != nil {
		m.t.Fatalf("order %+v: %v", o, err)
	}
	if err := m.out.Decode(&s); err != nil {
		m.t.Fatalf("order %+v: %v", o, err)
	}
	if s.Err != "" && !o.Close {
		m.t.Errorf("order %+v: %s", o, s.Err)
	}
	return s
}

// hold makes READs wait until the test releases them, or ends: else closing
// its files could wait for a server that waits for the test.
func (m *mount) hold() {
	m.t.Helper()
	m.holdAt(stepAsked)
}

// holdAt is hold for answers that have got as far as step.
func (m *mount) holdAt(step fusesrv.Step) {
	m.t.Helper()
	m.order(order{Hold: step})
	m.t.Cleanup(func() {
		if !m.killed {
			m.release()
		}
	})
}

// release lets READs go on.
func (m *mount) release() {
	m.t.Helper()
	m.order(order{Release: true})
}

// stats returns the server's counters.
func (m *mount) stats() fusesrv.Stats {
	m.t.Helper()
	return m.order(order{}).Stats
}

// kill ends the server process without a farewell.
func (m *mount) kill() {
	m.t.Helper()
	m.killed = true
	if err := m.cmd.Process.Kill(); err != nil {
		m.t.Errorf("kill the server: %v", err)
	}
	within(m.t, "end of the killed server", func() { _ = m.cmd.Wait() }) // "signal: killed"
}

// end unmounts, checks that the path did what it stands for, and reaps.
func (m *mount) end() {
	if m.killed {
		if err := unix.Unmount(m.dir, unix.MNT_DETACH); err != nil {
			m.t.Errorf("unmount after the server died: %v", err)
		}
		return
	}
	s := m.order(order{Close: !m.gone, Wait: m.gone})
	if s.Err != "" {
		m.t.Error(s.Err)
	}
	m.checkPath(s.Stats)
	m.stop()
	defer m.bound()()
	if err := m.cmd.Wait(); err != nil {
		m.t.Errorf("server: %v", err)
	}
}

// checkPath proves by the counters that READs went the way the path is named
// after.
func (m *mount) checkPath(s fusesrv.Stats) {
	m.t.Helper()
	if s.Refused != 0 {
		m.t.Errorf("the kernel refused %d replies", s.Refused)
	}
	if want := map[bool]uint64{true: s.Reads}[onRing(m.config.Path)]; s.Ringed != want {
		m.t.Errorf("path %s: %d READs of %d came by io_uring, want %d", m.config.Path, s.Ringed, s.Reads, want)
	}
	if m.config.fallsBack {
		if s.Fallbacks == 0 || s.Fallbacks != s.Reads {
			m.t.Errorf("path %s: %d fall-backs in %d READs, want all", m.config.Path, s.Fallbacks, s.Reads)
		}
		return
	}
	var by uint64 // bytes that went the path's way
	switch m.config.Path {
	case "copy":
		by, s.Copied = s.Copied, 0
	case "io_uring":
		by, s.Copied = s.Copied, 0
	case "splice", "splice-move":
		by = s.Spliced
	case "rsplice-pipe", "rsplice-fill", "rsplice-direct", "io_uring-zc":
		by = s.Filled
	case "passthrough":
		if s.Passed == 0 && !m.unopened {
			m.t.Error("path passthrough: the kernel was given no file")
		}
	default:
		m.t.Errorf("path %s: no proof of it is known", m.config.Path)
	}
	if m.config.mayCopy {
		guest.Remark("%s: path %s: %d of %d READs were answered by copying", m.t.Name(), m.config.Path, s.Fallbacks, s.Reads)
	}
	if m.config.mayCopy && s.Fallbacks*10 <= s.Reads {
		by += s.Copied
		s.Copied, s.Fallbacks = 0, 0
	}
	if by != s.ReadBytes || s.Copied != 0 || s.Fallbacks != 0 || m.config.inKernel && s.Reads != m.refused {
		m.t.Errorf("path %s: %d of %d bytes went its way: %+v", m.config.Path, by, s.ReadBytes, s)
	}
}

// delivered checks that READs have brought want bytes since before.
func (m *mount) delivered(before uint64, want int64) {
	m.t.Helper()
	if m.config.inKernel {
		return // which checkPath proves to be 0
	}
	if got := m.stats().ReadBytes - before; got != uint64(want) {
		m.t.Errorf("the server delivered %d bytes, want %d", got, want)
	}
}

// askedFor checks that READs have brought at least size bytes.
func (m *mount) askedFor(size int64) {
	m.t.Helper()
	if got := m.stats().ReadBytes; !m.config.inKernel && got < uint64(size) {
		m.t.Errorf("the server delivered %d bytes of %d", got, size)
	}
}

// open opens a file of the mount to read; it is closed before the unmount.
func (m *mount) open(name string) *os.File {
	m.t.Helper()
	return m.openFlags(name, os.O_RDONLY)
}

// openFlags is open with flags.
func (m *mount) openFlags(name string, flags int) *os.File {
	m.t.Helper()
	f, err := os.OpenFile(filepath.Join(m.dir, name), flags, 0)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = f.Close() }) // some are closed already
	return f
}

// readAt returns size bytes of f from off on.
func readAt(t *testing.T, f *os.File, off int64, size int) []byte {
	t.Helper()
	b := make([]byte, size)
	if n, err := f.ReadAt(b, off); err != nil {
		t.Fatalf("read of %d bytes at %d: %d bytes, %v", size, off, n, err)
	}
	return b
}

// readAll reads f from its start to its end in pieces of size bytes.
func readAll(t *testing.T, f *os.File, size int) []byte {
	t.Helper()
	var all []byte
	b := make([]byte, size)
	for off := int64(0); ; {
		n, err := f.ReadAt(b, off)
		all, off = append(all, b[:n]...), off+int64(n)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("read at %d: %v", off, err)
		}
	}
}

// mapFile maps all of f.
func mapFile(t *testing.T, f *os.File, size int64, prot, flags int) []byte {
	t.Helper()
	mem, err := unix.Mmap(int(f.Fd()), 0, int(size), prot, flags)
	if err != nil {
		t.Fatalf("map %s: %v", f.Name(), err)
	}
	t.Cleanup(func() {
		if err := unix.Munmap(mem); err != nil {
			t.Errorf("unmap: %v", err)
		}
	})
	return mem
}

// within runs do and fails the test when it takes longer than patience.
func within(t testing.TB, what string, do func()) {
	t.Helper()
	withinTime(t, patience, what, do)
}

// withinTime is within with a patience of its own.
func withinTime(t testing.TB, limit time.Duration, what string, do func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	awaitTime(t, limit, what, done)
}

// await fails the test when done is not closed within patience.
func await(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	awaitTime(t, patience, what, done)
}

func awaitTime(t testing.TB, limit time.Duration, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(limit):
		t.Fatalf("%s: not done after %v", what, limit)
	}
}
