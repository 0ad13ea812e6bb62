package readtest

import (
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

// replyCases are about replies that are wrong.
func replyCases() []Case {
	return about([]string{files}, true, map[string]func(t *testing.T, c config){
		"WrongReplyIsRefused":     wrongReplyIsRefused,
		"ShortReplyHidesTheRest":  shortReplyHidesTheRest,
		"WrongReplyToADirectRead": wrongReplyToADirectRead,
	})
}

// refusals are what the kernel must say to wrong replies of a path. A reply
// that is too long may end its READ (an ordinary one does, with an error; one
// of rsplice(2) does not), but the reader never gets anything wrong. On a ring it
// does so too, and the server is not told. A call that fills and replies fills
// no more than there is room for.
func refusals(path string) map[string][]syscall.Errno {
	long := unix.EINVAL
	if onRing(path) || path == "rsplice-direct" {
		long = 0
	}
	return map[string][]syscall.Errno{
		wrongLong:    {long},
		wrongTwice:   {0, unix.ENOENT},
		wrongUnknown: {unix.ENOENT},
	}
}

func wrongReplyIsRefused(t *testing.T, c config) {
	for wrong, want := range refusals(c.Path) {
		t.Run(wrong, func(t *testing.T) {
			c.Loopback = t.TempDir()
			f := makeFile("f", 130, 300<<10)
			m := start(t, c, f)
			h := m.open(f.Name)
			m.order(order{Wrong: wrong})
			within(t, "read of a wrong reply", func() { same(t, f.Of, readAll(t, h, mib), 0) })
			if got := m.order(order{}).Sent; !slices.Equal(got, want) {
				t.Errorf("the kernel said %v to replies, want %v", got, want)
			}
			mem := mapFile(t, h, f.Size, unix.PROT_READ, unix.MAP_SHARED)
			same(t, f.Of, mem, 0)
		})
	}
}

// wrongReplyToADirectRead is the same, and a short reply, for the reader's own memory, which
// cannot be read again behind its back: an error is as good as the bytes.
func wrongReplyToADirectRead(t *testing.T, c config) {
	wrongs := refusals(c.Path)
	wrongs[wrongShort] = []syscall.Errno{0}
	for wrong, want := range wrongs {
		t.Run(wrong, func(t *testing.T) {
			c.Loopback, c.DirectIO = t.TempDir(), true
			f := makeFile("f", 131, 300<<10)
			m := start(t, c, f)
			h := m.open(f.Name)
			m.order(order{Wrong: wrong})
			b := make([]byte, 100_000)
			within(t, "read of a wrong reply", func() {
				n, err := unix.Pread(int(h.Fd()), b, 5)
				if err == nil {
					same(t, f.Of, b[:n], 5)
				}
				if wrong == wrongShort && n != len(b)/2 {
					t.Errorf("read of a short reply: %d bytes, %v; want %d", n, err, len(b)/2)
				}
			})
			if got := m.order(order{}).Sent; !slices.Equal(got, want) {
				t.Errorf("the kernel said %v to replies, want %v", got, want)
			}
			same(t, f.Of, readAt(t, h, 0, int(f.Size)), 0)
		})
	}
}

// shortReplyHidesTheRest answers with half of the bytes although all are in
// place: the reader gets that half and, at most, zeroes.
func shortReplyHidesTheRest(t *testing.T, c config) {
	page := int64(guest.PageSize())
	for name, size := range map[string]int64{"page": page, "pages": 32 * page} {
		t.Run(name, func(t *testing.T) {
			c.Loopback = t.TempDir()
			f := makeFile("f", 132, size)
			m := start(t, c, f)
			h := m.open(f.Name)
			m.order(order{Wrong: wrongShort})
			mem := mapFile(t, h, f.Size, unix.PROT_READ, unix.MAP_SHARED)
			if err := touch(mem, 0); err != nil {
				t.Fatal(err)
			}
			first := mem[:page]
			shown := min(f.Size/2, page)
			same(t, f.Of, first[:shown], 0)
			zero(t, first[shown:], shown)
			got := readAll(t, h, mib)
			same(t, f.Of, got[:min(f.Size/2, int64(len(got)))], 0)
			zero(t, got[min(f.Size/2, int64(len(got))):], f.Size/2)
			if sent := m.order(order{}).Sent; !slices.Equal(sent, []syscall.Errno{0}) {
				t.Errorf("the kernel said %v to a short reply, want 0", sent)
			}
		})
	}
}
