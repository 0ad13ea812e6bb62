package rsplice

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv/rsplice"
	"github.com/runvm/runvm/vmtests/guest"
)

const (
	badDisk = "rsplicebad"
	sector  = 512 // bytes, whatever the disk
)

// newBadDisk makes a disk with the contents of the server's file (null_blk),
// whose page number bad cannot be read, and returns its path.
func (s *server) newBadDisk(t *testing.T, bad int) string {
	t.Helper()
	config := t.TempDir()
	if err := unix.Mount("configfs", config, "configfs", 0, ""); err == unix.ENODEV {
		t.Skip("kernel has no CONFIG_CONFIGFS_FS")
	} else if err != nil {
		t.Fatalf("mount configfs: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(config, unix.MNT_DETACH) })
	dir := filepath.Join(config, "nullb", badDisk)
	if err := os.Mkdir(dir, 0o755); os.IsNotExist(err) {
		t.Skip("kernel has no CONFIG_BLK_DEV_NULL_BLK")
	} else if err != nil {
		t.Fatal(err)
	}
	set := func(name, value string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		set("power", "0")
		_ = os.Remove(dir)
	})
	set("size", "1") // MiB
	set("blocksize", fmt.Sprint(sector))
	set("memory_backed", "1")
	set("power", "1")
	path := filepath.Join("/dev", badDisk)
	b := make([]byte, s.size)
	_, _ = s.data.ReadAt(b, 0)
	if err := os.WriteFile(path, b, 0); err != nil {
		t.Fatal(err)
	}
	disk := open(t, path, unix.O_WRONLY)
	if err := unix.Fsync(disk); err != nil {
		t.Fatal(err)
	}
	_ = unix.Fadvise(disk, 0, 0, unix.FADV_DONTNEED)
	perPage := guest.PageSize() / sector
	set("badblocks", fmt.Sprintf("+%d-%d", bad*perPage, (bad+1)*perPage-1))
	return path
}

// A disk fails in the middle of what is to be filled. What was put in place
// before the bad page may be announced and no more, whichever way it was read,
// and the READ can be answered otherwise.
func TestSourceThatFailsMidway(t *testing.T) {
	const bad = 2
	for name, flags := range map[string]int{"buffered": 0, "direct": unix.O_DIRECT} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *server) {
				s.margin = alignedMargin
				disk := open(t, s.newBadDisk(t, bad), unix.O_RDONLY|flags)
				failsMidway(t, s, disk, bad*guest.PageSize())
			})
		})
	}
}

func failsMidway(t *testing.T, s *server, disk, good int) {
	size := 4 * guest.PageSize()
	r := s.read(t, 0, size)
	req := s.next(t)
	s.claim(t, req)
	var off int64
	n, err := rsplice.Fill(s.pipe[0], disk, &off, req.size, 0)
	if n != good {
		fails(t, "fill up to the bad page", err, unix.EIO)
		n = 0
	}
	n = max(n, 0)
	_, err = rsplice.Fill(s.pipe[0], disk, &off, req.size-n, 0)
	fails(t, "fill of the bad page", err, unix.EIO)
	if off != int64(n) {
		t.Errorf("position %d after %d bytes", off, n)
	}
	for _, more := range []int{n + 1, good + 1, req.size} {
		fails(t, "reply with what could not be read", rsplice.Reply(s.device, req.unique, more), unix.EINVAL)
	}
	s.drop(t)
	_, err = rsplice.Direct(s.device, req.unique, disk, &off, req.size)
	if err != nil { // all has been claimed
		t.Errorf("claim and fill: %v", err)
	}
	if err := s.replyData(req, req.size); err != nil {
		t.Fatal(err)
	}
	r.gets(t, s, size)
}

// A READ whose fill has failed may fail as well: nothing that was in memory
// before is seen, nor is what the disk had put there.
func TestErrorAfterAFailedFill(t *testing.T) {
	each(t, func(t *testing.T, s *server) {
		s.margin = alignedMargin
		disk := open(t, s.newBadDisk(t, 1), unix.O_RDONLY|unix.O_DIRECT)
		r := s.read(t, 0, 2*guest.PageSize())
		req := s.next(t)
		var off int64
		_, err := rsplice.Direct(s.device, req.unique, disk, &off, req.size)
		fails(t, "claim and fill", err, unix.EIO)
		if err := s.reply(req.unique, unix.EIO, nil); err != nil {
			t.Fatalf("error reply: %v", err)
		}
		if s.openFlags&directIO != 0 {
			r.getsNothingElse(t, s, r.wait(t, s))
			return
		}
		r.gets(t, s, 2*guest.PageSize()) // asks again
	})
}
