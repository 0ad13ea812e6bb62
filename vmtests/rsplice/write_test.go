package rsplice

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// writeAt is where writeFile writes: into the middle of a page.
const writeAt, writeSize = 100, 10

// writeFile is a process that writes what is in a server's file anyway, and
// prints what came of it.
func writeFile(path string) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	b := make([]byte, writeSize)
	_, _ = servedData().ReadAt(b, writeAt)
	n, err := unix.Pwrite(fd, b, writeAt)
	fmt.Println(n, err)
	return nil
}

// A write to a part of a page with the write-back cache reads the page first.
// That READ may be filled, and may end during a fill, too.
func TestWriteToAPartOfAPage(t *testing.T) {
	need(t)
	s := mountWith(t, keepCache, rsplice.InitFlag|initWriteback)
	write := func(answer func(req request)) (out []byte) {
		cmd := as("write", s.file())
		s.beforeUnmount = append(s.beforeUnmount, func() { _ = cmd.Process.Kill() })
		done := make(chan error, 1)
		go func() {
			var err error
			out, err = cmd.Output()
			done <- err
		}()
		answer(s.next(t))
		s.whileServing(t, func() error { return <-done })
		return out
	}
	out := write(func(req request) {
		s.claim(t, req)
		f := s.fillLater(t, req)
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatal(err)
		}
		fails(t, "fill", f.ends(t), unix.ECANCELED)
	})
	if want := fmt.Sprintln(-1, unix.EIO); string(out) != want {
		t.Errorf("write whose READ failed: %q, want %q", out, want)
	}
	out = write(func(req request) { s.answer(t, req) })
	if want := fmt.Sprintln(writeSize, nil); string(out) != want {
		t.Errorf("write: %q, want %q", out, want)
	}
	r := s.read(t, 0, guest.PageSize())
	r.gets(t, s, guest.PageSize())
}
