package fusesrv

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/runvm/runvm/fusesrv/pattern"
)

// A sink takes what is sent and has nothing to say.
type sink struct{}

func (sink) open() error            { return nil }
func (sink) next() ([]byte, error)  { return nil, errEnded }
func (sink) send(_, _ []byte) error { return nil }
func (sink) flush() error           { return nil }
func (sink) sendCalls() uint64      { return 1 }
func (sink) ringed() uint64         { return 0 }
func (sink) close()                 {}

// What is kept here cannot live on the test's stack.
var (
	keptResult   fuse.ReadResult
	keptPosition *int64
)

// What is allocated for each READ was a tenth of what one of 4 KiB costs.
func TestAnswersAllocateNothing(t *testing.T) {
	const size = 4096
	file := &loopFile{source: source{data: pattern.Pattern{Seed: 1}, end: size}}
	node := &loopNode{}
	w := &worker{srv: &Server{maxRead: size}, answer: newCopier(size)}
	n := testing.AllocsPerRun(100, func() {
		res, errno := node.Read(t.Context(), file, nil, 0)
		if errno != 0 {
			t.Fatal(errno)
		}
		keptResult = res
		r := &w.now
		*r = read{conn: sink{}, count: &w.srv.count, hooks: &w.srv.hooks, asked: size, size: size}
		keptPosition = r.position()
		done, err := res.(*source).begin(r)
		if err == nil {
			defer done()
			err = w.answerBy(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("a READ needs %v allocations", n)
	}
	if got := w.srv.count.copied.Load(); got < 100*size {
		t.Errorf("%d bytes were copied: the test has shown nothing", got)
	}
}
