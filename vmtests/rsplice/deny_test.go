package rsplice

import (
	"bytes"
	"compress/gzip"
	_ "embed" // for the policy
	"io"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// policy is testdata/apparmor.profile, compiled.
//
//go:embed testdata/apparmor.gz
var policy []byte

// loadPolicy gives AppArmor its profiles.
func loadPolicy(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("securityfs", dir, "securityfs", 0, ""); err == unix.ENODEV {
		t.Skip("kernel has no CONFIG_SECURITYFS")
	} else if err != nil {
		t.Fatalf("mount securityfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	z, err := gzip.NewReader(bytes.NewReader(policy))
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/apparmor/.replace", profiles, 0); os.IsNotExist(err) {
		t.Skip("kernel has no AppArmor")
	} else if err != nil {
		t.Fatalf("load policy: %v", err)
	}
}

// A confined thread does what it is given, one thing after the other.
type confined struct {
	do   chan func()
	done chan bool
}

// newConfined starts a thread that is under no profile yet. It ends with the
// test: a profile cannot be left.
func newConfined(t *testing.T) *confined {
	t.Helper()
	c := &confined{make(chan func()), make(chan bool)}
	go func() {
		runtime.LockOSThread()
		for f := range c.do {
			f()
			c.done <- true
		}
	}()
	t.Cleanup(func() { close(c.do) })
	return c
}

func (c *confined) run(f func()) {
	c.do <- f
	<-c.done
}

// under puts the thread under a profile and lets it do something.
func (c *confined) under(t *testing.T, profile string, f func()) {
	t.Helper()
	var err error
	c.run(func() {
		err = os.WriteFile("/proc/thread-self/attr/current", []byte("changeprofile "+profile), 0)
		if err == nil {
			f()
		}
	})
	if err != nil {
		t.Fatalf("change to profile %s: %v", profile, err)
	}
}

// A security module that comes to deny access to a file after it was opened is
// asked by each call: may the source be read, may the device be written to?
// AppArmor trusts files of unconfined tasks, so both are opened under a profile
// that allows everything.
func TestSecurityModuleDenies(t *testing.T) {
	need(t)
	loadPolicy(t)
	t.Run("source", func(t *testing.T) {
		each(t, func(t *testing.T, s *server) { denied(t, s, "rsplice-no-source") })
	})
	t.Run("device", func(t *testing.T) {
		each(t, func(t *testing.T, s *server) { denied(t, s, "rsplice-no-device") })
	})
}

func denied(t *testing.T, s *server, profile string) {
	thread := newConfined(t)
	var source, device int
	thread.under(t, "rsplice-all", func() {
		source = open(t, s.source.Name(), unix.O_RDONLY)
		device = cloneOf(t, s)
	})
	s.device, device = device, s.device // the READ belongs to the clone
	defer func() { s.device = device }()
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	var off int64
	calls := map[string]func() (int, error){
		"claim": func() (int, error) { return rsplice.Claim(s.device, req.unique, s.pipe[1], 10, 0) },
		"fill":  func() (int, error) { return rsplice.Fill(s.pipe[0], source, &off, 10, 0) },
		"direct": func() (int, error) {
			return rsplice.Direct(s.device, req.unique, source, &off, 10)
		},
	}
	call := func(name string) (n int, err error) {
		thread.run(func() { n, err = calls[name]() })
		return n, err
	}
	allowed := func(name string) {
		n, err := call(name)
		moves(t, name+" while it is allowed", n, err, 10)
	}
	for _, name := range []string{"claim", "fill", "claim", "direct"} {
		allowed(name)
	}
	thread.under(t, profile, func() {})
	if profile == "rsplice-no-source" {
		_, err := call("fill")
		fails(t, "fill", err, unix.EACCES)
		allowed("claim")
	} else {
		_, err := call("claim")
		fails(t, "claim", err, unix.EACCES)
		allowed("fill") // what was claimed before
	}
	_, err := call("direct")
	fails(t, "claim and fill", err, unix.EACCES)
	fails(t, "reply", rsplice.Reply(s.device, req.unique, req.size), unix.EINVAL)
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, guest.PageSize())
}
