package vm

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// pipeSize is how much a guest may write before the host has read it. A pipe
// takes single bytes without overhead, a socket a few hundred of them; a full
// channel makes the guest wait, and so brings the host's timing into it.
const pipeSize = 1 << 20

// firstFD is the number of the first inherited descriptor in QEMU.
const firstFD = 3

// fdset begins the path by which QEMU opens an inherited descriptor.
const fdset = "/dev/fdset/"

// channels are the descriptors that connect QEMU and the host.
type channels struct {
	ends
	console, results *os.File   // read ends
	keys             *os.File   // write end of what the guest's serial port reads when it is asked
	qmp, tty         *os.File   // sockets; tty nil without a terminal
	child            []*os.File // QEMU's sides, firstFD and up
	state            *os.File   // of a guest that is saved or goes on, else nil
	args             []string   // QEMU's arguments that announce them
	consolePath      string     // by which QEMU opens the console again
}

// open makes the channels of m, which boots archives.
func open(m *Machine, archives []string) (c *channels, err error) {
	c = &channels{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.console, c.ends.console, err = c.pipe(); err != nil {
		return nil, err
	}
	c.consolePath = fmt.Sprintf("%s%d", fdset, firstFD)
	if c.results, c.ends.results, err = c.pipe(); err != nil {
		return nil, err
	}
	if c.keys, c.ends.keys, err = c.input(); err != nil {
		return nil, err
	}
	if c.qmp, c.ends.qmp, err = c.socket(); err != nil {
		return nil, err
	}
	if m.TTY {
		if c.tty, c.ends.tty, err = c.socket(); err != nil {
			return nil, err
		}
	}
	if c.initrd, err = c.join(archives); err != nil {
		return nil, err
	}
	return c, nil
}

// inherit makes f QEMU's next descriptor and returns its number there.
func (c *channels) inherit(f *os.File) int {
	c.child = append(c.child, f)
	return firstFD + len(c.child) - 1
}

// pipe returns the read end and how QEMU names the write end.
func (c *channels) pipe() (*os.File, string, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, "", os.NewSyscallError("pipe2", err)
	}
	// An unprivileged user may be over the limit: a smaller pipe works too.
	_, _ = unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, pipeSize)
	fd := c.inherit(os.NewFile(uintptr(fds[1]), "qemu"))
	c.args = append(c.args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", fd, fd))
	return os.NewFile(uintptr(fds[0]), "runvm"), fmt.Sprintf("file,path=%s%d,append=on", fdset, fd), nil
}

// input returns the write end of a pipe and the path by which QEMU opens the
// read end.
func (c *channels) input() (*os.File, string, error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return nil, "", os.NewSyscallError("pipe2", err)
	}
	fd := c.inherit(os.NewFile(uintptr(fds[0]), "qemu"))
	c.args = append(c.args, "-add-fd", fmt.Sprintf("fd=%d,set=%d", fd, fd))
	return os.NewFile(uintptr(fds[1]), "runvm"), fmt.Sprintf("%s%d", fdset, fd), nil
}

// socket returns our side and how QEMU names its own.
func (c *channels) socket() (*os.File, string, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, "", os.NewSyscallError("socketpair", err)
	}
	fd := c.inherit(os.NewFile(uintptr(fds[1]), "qemu"))
	return os.NewFile(uintptr(fds[0]), "runvm"), fmt.Sprintf("socket,fd=%d", fd), nil
}

// join returns one path for the archives: their own when there is one, else
// that of a file in memory. The kernel wants each to start at a multiple of 4.
func (c *channels) join(archives []string) (string, error) {
	switch len(archives) {
	case 0:
		return "", nil
	case 1:
		return archives[0], nil
	}
	fd, err := unix.MemfdCreate("initrd", unix.MFD_CLOEXEC)
	if err != nil {
		return "", os.NewSyscallError("memfd_create", err)
	}
	mem := os.NewFile(uintptr(fd), "initrd")
	n := c.inherit(mem)
	for _, path := range archives {
		if err := appendFile(mem, path); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("/proc/self/fd/%d", n), nil
}

func appendFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	defer f.Close()
	n, err := io.Copy(w, f)
	if err != nil {
		return fmt.Errorf("initrd: %w", err)
	}
	_, err = w.Write(make([]byte, -n&3))
	return err
}

// closeChild closes our copies of QEMU's sides, so that the channels end with it.
func (c *channels) closeChild() {
	for _, f := range c.child {
		f.Close()
	}
	c.child = nil
}

// close closes what is open; readers return.
func (c *channels) close() {
	c.closeChild()
	for _, f := range []*os.File{c.console, c.results, c.keys, c.qmp, c.tty, c.state} {
		if f != nil {
			f.Close()
		}
	}
}
