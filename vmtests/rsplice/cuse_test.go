package rsplice

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	opCuseInit = 4096
	cuseName   = "rsplicecuse"
)

// A character device that a program serves (CUSE) speaks the same protocol on the
// same kind of descriptor, but has no way to negotiate: none of its requests can
// be claimed, whatever its server says.
func TestCharacterDeviceCannotBeFilled(t *testing.T) {
	need(t)
	fd, err := unix.Open("/dev/cuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		t.Skip("kernel has no CONFIG_CUSE")
	} else if err != nil {
		t.Fatalf("open /dev/cuse: %v", err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	s := &server{device: fd, pipe: newPipe(t), buf: make([]byte, maxRead+8192), size: int64(guest.PageSize())}
	s.source = s.newSource(t)
	cuseRead(t, s)
}

// cuseRead serves the device until it has been read.
func cuseRead(t *testing.T, s *server) {
	t.Helper()
	done := make(chan error, 1)
	b, want := make([]byte, 100), make([]byte, 100)
	_, _ = s.data.ReadAt(want, 0)
	seen := map[uint32]bool{}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		select {
		case err := <-done:
			if err != nil || string(b) != string(want) {
				t.Errorf("read of the device: %v, %v", b, err)
			}
			if !seen[opCuseInit] || !seen[opRead] {
				t.Errorf("requests %v: the test has shown nothing", seen)
			}
			return
		default:
		}
		poll := []unix.PollFd{{Fd: int32(s.device), Events: unix.POLLIN}}
		if n, _ := unix.Poll(poll, int(idleWait.Milliseconds())); n <= 0 {
			continue
		}
		n, err := unix.Read(s.device, s.buf)
		if err != nil || n < inHeader {
			t.Fatalf("request of /dev/cuse: %d bytes, %v", n, err)
		}
		ne := binary.NativeEndian
		opcode, unique := ne.Uint32(s.buf[4:]), ne.Uint64(s.buf[8:])
		seen[opcode] = true
		s.cannotClaim(t, s.device, unique, unix.EOPNOTSUPP)
		fails(t, "reply with a header", rsplice.Reply(s.device, unique, 1), unix.EINVAL)
		if err := s.reply(unique, 0, cuseReply(opcode, want)); err != nil {
			t.Fatalf("reply to request %d: %v", opcode, err)
		}
		if opcode == opCuseInit {
			go func() { done <- readDevice("/dev/"+cuseName, b) }()
		}
	}
	t.Fatal("the device cannot be read")
}

// cuseReply is what a server says to a request.
func cuseReply(opcode uint32, data []byte) []byte {
	ne := binary.NativeEndian
	switch opcode {
	case opCuseInit: // struct cuse_init_out and a name
		out := make([]byte, 72)
		ne.PutUint32(out[0:], 7)
		ne.PutUint32(out[4:], 36)
		ne.PutUint32(out[12:], 1<<32-2) // all flags but CUSE_UNRESTRICTED_IOCTL
		ne.PutUint32(out[16:], maxRead)
		ne.PutUint32(out[20:], maxRead)
		return append(out, "DEVNAME="+cuseName+"\x00"...)
	case opOpen:
		return make([]byte, 16)
	case opRead:
		return data
	}
	return nil
}

// readDevice waits for a device to be there, and reads from it.
func readDevice(path string, b []byte) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	for end := time.Now().Add(patience); errors.Is(err, unix.ENOENT) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Read(fd, b)
	return err
}
