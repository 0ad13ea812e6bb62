package fusesrv

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// FuzzRequest reads messages that no kernel sends.
func FuzzRequest(f *testing.F) {
	f.Add(message(opRead, 7, 1, make([]byte, readSize-requestHeaderSize)), 4096)
	f.Add(message(opInterrupt, 7, 1, make([]byte, 8)), 4096)
	f.Add([]byte{}, 0)
	f.Fuzz(func(t *testing.T, msg []byte, maxRead int) {
		q, ok := parseRequest(msg)
		if !ok {
			return
		}
		q.interrupted()
		var in fuse.ReadIn
		if q.parseRead(&in, maxRead) && (int64(in.Size) > int64(maxRead) || int64(in.Offset) < 0) {
			t.Errorf("READ of %d bytes at %d went through, at most %d are allowed", in.Size, int64(in.Offset), maxRead)
		}
	})
}
