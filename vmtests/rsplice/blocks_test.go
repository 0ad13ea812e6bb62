package rsplice

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const blockSize = 512

// readsByBlock is the first release whose FUSE reads through iomap, and so reads
// parts of folios where blocks are smaller than those.
var readsByBlock = guest.Release{Major: 6, Minor: 19}

// needBlocks makes a server with small blocks.
func needBlocks(t *testing.T, initFlags uint64) *server {
	t.Helper()
	need(t)
	if running, err := guest.Running(); err != nil || running.Before(readsByBlock) {
		t.Skipf("FUSE of Linux %v reads whole pages (%v)", running, err)
	}
	return mountBlocks(t, rsplice.InitFlag|initFlags, blockSize)
}

// answerWhole fills what can be filled: a READ that covers its folios. For any
// other, nothing is given out, and answer is called.
func (s *server) answerWhole(t *testing.T, req request, answer func() error) (filled bool) {
	t.Helper()
	if req.off%int64(guest.PageSize()) == 0 && req.size%guest.PageSize() == 0 {
		s.answer(t, req)
		return true
	}
	_, err := rsplice.Claim(s.device, req.unique, s.pipe[1], req.size, rsplice.Nonblock)
	fails(t, fmt.Sprintf("claim of READ %d at %d", req.size, req.off), err, unix.EOPNOTSUPP)
	off := req.off
	_, err = rsplice.Direct(s.device, req.unique, int(s.source.Fd()), &off, req.size)
	fails(t, "the same without a pipe", err, unix.EOPNOTSUPP)
	if err := answer(); err != nil {
		t.Fatal(err)
	}
	return false
}

// The folio at the end of a file is read to the end of the last block. It can't be
// thrown out if the READ fails, so the server has to copy.
func TestLastFolioWithSmallBlocks(t *testing.T) {
	for _, tail := range []int{0, 1, blockSize, 2*blockSize + 1} {
		t.Run(fmt.Sprint(tail), func(t *testing.T) {
			s := needBlocks(t, 0)
			s.size -= int64(guest.PageSize() - tail)
			r := s.read(t, 0, int(s.size))
			filled, copied := 0, 0
			for left := int(s.size); left > 0; {
				req := s.next(t)
				n := s.sizeAt(req)
				if s.answerWhole(t, req, func() error { return s.replyData(req, n) }) {
					filled++
				} else {
					copied++
				}
				left -= n
			}
			r.gets(t, s, int(s.size))
			if copied == 0 && tail > 0 || filled == 0 && tail == 0 {
				t.Errorf("%d READs were filled, %d copied: nothing is tested", filled, copied)
			}
		})
	}
}

// keepOpen opens the file for as long as it is mounted.
func (s *server) keepOpen(t *testing.T) int {
	t.Helper()
	fd := -1
	s.whileServing(t, func() (err error) {
		fd, err = unix.Open(s.file(), unix.O_RDWR|unix.O_CLOEXEC, 0)
		return err
	})
	closed := make(chan bool)
	s.beforeUnmount = append(s.beforeUnmount, func() {
		go func() { // closing needs the server, or its end
			unix.Close(fd)
			close(closed)
		}()
	})
	s.afterUnmount = append(s.afterUnmount, func() { <-closed })
	return fd
}

// giveUp has a READ fail while it is being filled, so that its folios are thrown
// out of the page cache.
func (s *server) giveUp(t *testing.T, req request) {
	t.Helper()
	s.claim(t, req)
	f := s.fillLater(t, req)
	if err := s.reply(req.unique, unix.EIO, nil); err != nil {
		t.Fatalf("error reply: %v", err)
	}
	fails(t, "fill", f.ends(t), unix.ECANCELED)
}

// A folio that is given up is one that the kernel has begun to read, block by block
// if it has several. It has to forget about that, or it complains.
func TestFolioWithBlocksIsGivenUp(t *testing.T) {
	s := needBlocks(t, 0)
	r := s.read(t, 0, guest.PageSize())
	s.giveUp(t, s.next(t))
	r.gets(t, s, guest.PageSize())
}

// The same with a folio that is read because a part of its first block and a part of
// its last one stay as they are when the rest is written.
func TestFolioWithBlocksIsGivenUpByAWrite(t *testing.T) {
	s := needBlocks(t, initWriteback)
	fd := s.keepOpen(t)
	b := make([]byte, guest.PageSize()-2)
	_, _ = s.data.ReadAt(b, 1)
	done := make(chan error, 1)
	write := func() error {
		_, err := unix.Pwrite(fd, b, 1)
		return err
	}
	go func() { done <- write() }()
	req := s.next(t)
	if req.off != 0 || req.size != guest.PageSize() {
		t.Fatalf("READ %d at %d: nothing is tested", req.size, req.off)
	}
	s.giveUp(t, req)
	fails(t, "write whose READ failed", <-done, unix.EIO)
	s.whileServing(t, write)
	got := make([]byte, guest.PageSize())
	if n, err := unix.Pread(fd, got, 0); n != len(got) || err != nil {
		t.Errorf("read: %d, %v", n, err)
	}
	guest.Same(t, s.data, got, 0)
}

// A folio with a block that is dirty is read in parts. Its other blocks must not be
// filled, since the dirty one would be lost with the folio if that READ failed.
func TestFolioWithADirtyBlock(t *testing.T) {
	s := needBlocks(t, initWriteback)
	page := int64(guest.PageSize())
	fd := s.keepOpen(t)
	dirty := make([]byte, blockSize)
	for i := range dirty {
		dirty[i] = 'W'
	}
	s.whileServing(t, func() error {
		_, err := unix.Pwrite(fd, dirty, page+blockSize)
		return err
	})
	if s.copied > 0 {
		t.Fatal("the folio has been read to write a block of it: nothing is tested")
	}

	got := make([]byte, blockSize)
	done := make(chan error, 1)
	go func() {
		_, err := unix.Pread(fd, got, page+3*blockSize)
		done <- err
	}()
	parts := 0
	for waiting, end := true, time.Now().Add(patience); waiting; {
		if time.Now().After(end) {
			t.Fatal("the read does not return")
		}
		select {
		case err := <-done:
			fails(t, "read of a block whose READ failed", err, unix.EIO)
			waiting = false
		default:
			req, is, err := s.handle(idleWait)
			if err == nil && is && !s.answerWhole(t, req, func() error { return s.reply(req.unique, unix.EIO, nil) }) {
				parts++
			}
		}
	}
	if parts == 0 {
		t.Error("no READ of a part of the folio: nothing is tested")
	}
	if _, err := unix.Pread(fd, got, page+blockSize); err != nil || string(got) != string(dirty) {
		t.Errorf("the block that was written reads %q…, %v", got[:4], err)
	}
}
