package rsplice

import (
	"encoding/binary"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

// Notifications of the FUSE protocol.
const (
	notifyInvalInode = 2
	notifyStore      = 4
	notifyRetrieve   = 5
	opNotifyReply    = 41
)

// notify sends a notification, the struct for which is fields, and data.
func (s *server) notify(code int32, data []byte, fields ...uint64) error {
	ne := binary.NativeEndian
	m := make([]byte, outHeader)
	ne.PutUint32(m[4:], uint32(code))
	for _, f := range fields {
		m = ne.AppendUint64(m, f)
	}
	m = append(m, data...)
	ne.PutUint32(m[0:], uint32(len(m)))
	_, err := unix.Write(s.device, m)
	return err
}

// A page that is being filled is locked: what the server does to it otherwise
// waits for the end of the READ, and neither spoils the other.
func TestNotificationsWaitForTheFill(t *testing.T) {
	need(t)
	page := uint64(guest.PageSize())
	for name, notify := range map[string]func(s *server) error{
		"store": func(s *server) error { // what is in the file
			b := make([]byte, page)
			_, _ = s.data.ReadAt(b, 0)
			return s.notify(notifyStore, b, fileID, 0, page)
		},
		"inval": func(s *server) error { return s.notify(notifyInvalInode, nil, fileID, 0, page) },
	} {
		t.Run(name, func(t *testing.T) {
			s := mount(t, keepCache)
			r := s.read(t, 0, guest.PageSize())
			req := s.next(t)
			s.claim(t, req)
			f := s.fillLater(t, req)
			done := make(chan error, 1)
			go func() { done <- notify(s) }()
			select {
			case err := <-done:
				t.Fatalf("%s during a fill: %v, want it to wait", name, err)
			case <-time.After(50 * time.Millisecond):
			}
			b := make([]byte, req.size)
			_, _ = s.data.ReadAt(b, req.off)
			if _, err := unix.Write(f.far, b); err != nil {
				t.Fatal(err)
			}
			if err := f.ends(t); err != nil {
				t.Errorf("fill: %v", err)
			}
			if err := rsplice.Reply(s.device, req.unique, req.size); err != nil {
				t.Errorf("reply: %v", err)
			}
			s.whileServing(t, func() error { return <-done })
			r.gets(t, s, guest.PageSize())
		})
	}
}

// A page that is being filled cannot be retrieved: it holds what was in memory
// before.
func TestRetrieveDuringAFillGetsNothing(t *testing.T) {
	need(t)
	s := mount(t, keepCache)
	r := s.read(t, 0, guest.PageSize())
	req := s.next(t)
	s.claim(t, req)
	s.fill(t, req.off, 100)
	f := s.fillLater(t, req)
	got := -1
	s.other = func(opcode uint32, _ uint64) {
		if opcode == opNotifyReply {
			got = int(binary.NativeEndian.Uint32(s.buf[inHeader+16:]))
		}
	}
	// struct fuse_notify_retrieve_out: unique, node, offset, size
	if err := s.notify(notifyRetrieve, nil, 1, fileID, 0, uint64(guest.PageSize())); err != nil {
		t.Fatalf("retrieve: %v", err)
	}
	for end := time.Now().Add(patience); got < 0 && time.Now().Before(end); {
		s.serve(t)
	}
	if got != 0 {
		t.Errorf("retrieve got %d bytes of a page that is being filled", got)
	}
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Fatal(err)
	}
	fails(t, "fill", f.ends(t), unix.ECANCELED)
	r.gets(t, s, guest.PageSize())
}
