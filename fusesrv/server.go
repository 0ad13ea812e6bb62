package fusesrv

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	gofs "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

// MaxRead is the largest Options.MaxRead, in bytes.
const MaxRead = 1 << 20

// maxWorkers bounds Options.Workers.
const maxWorkers = 64

// Options say how a Tree is served.
type Options struct {
	// Path is the read path, the name of one of Paths.
	Path string
	// Workers is the number of requests served at once, each on a clone of
	// the device descriptor; 1 to 64, 0 means 1. On the paths of io_uring(7)
	// it is that for each CPU.
	Workers int
	// MaxRead is the largest READ and WRITE in bytes: a multiple of the page
	// size, at most MaxRead; 0 means MaxRead.
	MaxRead int
	// KeepCache lets the pages of a file stay in the cache when the file is
	// opened again. Without it each open(2) drops them.
	KeepCache bool
	// Valid is how long the kernel may believe names and attributes without
	// asking again; 0 makes it ask each time.
	Valid time.Duration
	// DirectIO has every read(2) ask the server, past the page cache
	// (FOPEN_DIRECT_IO).
	DirectIO bool
	// DirectSource opens the files of a Loopback with O_DIRECT, for readers.
	DirectSource bool
	// DirectTarget opens the files of a Loopback with O_DIRECT, for those who
	// only write; what they write has to be whole blocks then.
	DirectTarget bool
	// SpliceWrites brings the data of WRITEs from the device to the file by
	// splice(2), through a pipe. It is for Loopback, and not for paths on which
	// WRITEs do not come by the device.
	SpliceWrites bool
	// Hooks may be empty.
	Hooks Hooks

	path Path // called Path
}

// A Server serves one mount until it is unmounted or aborted.
type Server struct {
	dir     string
	path    Path
	maxRead int
	hooks   Hooks

	spliceWrites bool

	root    gofs.InodeEmbedder
	raw     fuse.RawFileSystem
	proto   *fuse.ProtocolServer
	workers []*worker
	queues  []*ringQueue
	running sync.WaitGroup
	ended   chan struct{}
	count   counters
}

// Mount serves tree on the directory dir until the mount ends. The path in o
// is the one that answers READs, or Mount fails and says what is missing.
func Mount(dir string, tree Tree, o Options) (*Server, error) {
	dev, err := openDevice()
	if err != nil {
		return nil, err
	}
	s, err := newServer(dir, dev, tree, &o)
	if err != nil {
		unix.Close(dev)
		return nil, fmt.Errorf("serve %s: %w", dir, err)
	}
	if err := s.start(dev, o.Workers); err != nil {
		s.free()
		return nil, err
	}
	return s, nil
}

// Processors raises GOMAXPROCS so that one P stays idle while so many workers
// wait in system calls, for programs that do little else than serve. Without an
// idle one the Go runtime takes the P from a thread whose call takes longer than
// 20 µs, and has to find it one after that (retake in runtime/proc.go): a tenth
// of what a READ of 4 KiB costs on a machine with one CPU.
func Processors(workers int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + max(workers, 1) + 1) }

// newServer checks o, filling in what is 0, and builds what needs no
// connection: dev may not have one yet.
func newServer(dir string, dev int, tree Tree, o *Options) (*Server, error) {
	o.Workers = max(o.Workers, 1)
	if o.MaxRead == 0 {
		o.MaxRead = MaxRead
	}
	if o.Workers > maxWorkers {
		return nil, fmt.Errorf("%d workers: more than %d", o.Workers, maxWorkers)
	}
	if o.MaxRead < 0 || o.MaxRead > MaxRead || o.MaxRead%os.Getpagesize() != 0 {
		return nil, fmt.Errorf("largest read of %d bytes: not a multiple of the page size up to %d", o.MaxRead, MaxRead)
	}
	p, err := findPath(o.Path)
	if err != nil {
		return nil, err
	}
	if err := p.fits(tree, o); err != nil {
		return nil, err
	}
	o.path = p
	root, err := tree.root(o)
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: dir, path: p, maxRead: o.MaxRead, hooks: o.Hooks, spliceWrites: o.SpliceWrites,
		root: root, ended: make(chan struct{}),
	}
	s.raw = gofs.NewNodeFS(root, &gofs.Options{
		EntryTimeout: &o.Valid, AttrTimeout: &o.Valid, ServerCallbacks: s.callbacks(dev),
		NullPermissions: true, // a file of mode 0 has mode 0
	})
	s.proto = fuse.NewProtocolServer(s.raw, &fuse.MountOptions{
		MaxWrite:             o.MaxRead,
		ExtraCapabilities:    p.initFlags,
		DisabledCapabilities: fuse.CAP_PASSTHROUGH &^ p.initFlags,
		Logger:               log.New(io.Discard, "", 0),
	})
	return s, nil
}

// callbacks returns what go-fuse may ask of dev: files are registered for the
// path that needs it and no other.
func (s *Server) callbacks(dev int) gofs.ServerCallbacks {
	c := &callbacks{dev: dev, count: &s.count}
	if s.path.InKernel {
		return passCallbacks{c}
	}
	return c
}

// start mounts dev, answers INIT and lets the workers run.
func (s *Server) start(dev, workers int) error {
	first, err := newWorker(s, dev)
	if err != nil {
		unix.Close(dev)
		return err
	}
	s.workers = append(s.workers, first)
	if err := mountDevice(dev, s.dir, s.maxRead); err != nil {
		return err
	}
	err = s.init(first, workers)
	if err == nil {
		err = s.run()
	}
	if err != nil {
		_ = unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
		s.running.Wait()
		return err
	}
	go func() {
		s.running.Wait()
		s.free()
		close(s.ended)
	}()
	return nil
}

// run lets the workers run and returns when all can, or one cannot.
func (s *Server) run() error {
	ready := make(chan error, len(s.workers))
	for _, w := range s.workers {
		s.running.Go(func() { w.run(ready) })
	}
	for range s.workers {
		if err := <-ready; err != nil {
			return fmt.Errorf("read path %s: %w", s.path.Name, err)
		}
	}
	return nil
}

// init answers INIT, which the kernel sends first and alone, and adds workers.
func (s *Server) init(first *worker, workers int) error {
	q, err := first.next()
	if err != nil {
		return fmt.Errorf("read INIT of %s: %w", s.dir, err)
	}
	if q.opcode != opInit {
		return fmt.Errorf("read INIT of %s: got opcode %d", s.dir, q.opcode)
	}
	if err := s.path.offered(q.offers()); err != nil {
		return err
	}
	if err := first.forward(q); err != nil {
		return fmt.Errorf("answer INIT of %s: %w", s.dir, err)
	}
	if s.path.probe != nil {
		if err := s.path.probe(first.dev); err != nil {
			return fmt.Errorf("read path %s: %w", s.path.Name, err)
		}
	}
	if s.path.ring != nil {
		return s.addRings(first.dev, workers)
	}
	return s.addClones(first.dev, workers-1)
}

// addClones adds workers, each with a clone of dev.
func (s *Server) addClones(dev, clones int) error {
	for range clones {
		dev, err := cloneOf(dev)
		if err != nil {
			return err
		}
		w, err := newWorker(s, dev)
		if err != nil {
			unix.Close(dev)
			return err
		}
		s.workers = append(s.workers, w)
	}
	return nil
}

// addRings adds workers to each of the kernel's queues; dev stays for what does
// not come by a ring: FORGET and INTERRUPT.
func (s *Server) addRings(dev, workers int) error {
	list, err := os.ReadFile(possibleCPUs)
	if err != nil {
		return err
	}
	queues, err := possible(string(list))
	if err != nil {
		return err
	}
	for number := range queues {
		q, err := newRingQueue(s, number, workers)
		if err != nil {
			return err
		}
		s.queues = append(s.queues, q)
		for range workers {
			c, err := newRingConn(s, dev, q)
			if err != nil {
				return err
			}
			w, err := workerOn(s, c, dev, s.path.open)
			if err != nil {
				return err
			}
			s.workers = append(s.workers, w)
		}
	}
	return nil
}

// free closes what the workers hold; none of them runs any more. The device is
// the last.
func (s *Server) free() {
	for _, w := range slices.Backward(s.workers) {
		w.close()
	}
	for _, q := range s.queues {
		q.close()
	}
}

// isReading tells whether a worker is answering the READ unique.
func (s *Server) isReading(unique uint64) bool {
	for _, w := range s.workers {
		if w.reading.Load() == unique {
			return true
		}
	}
	return false
}

// Wait returns when the mount has ended and every worker is done.
func (s *Server) Wait() { <-s.ended }

// Close unmounts and waits for the workers. While files of the mount are
// open it fails with EBUSY and the server goes on.
func (s *Server) Close() error {
	if err := unix.Unmount(s.dir, 0); err != nil {
		return fmt.Errorf("unmount %s: %w", s.dir, err)
	}
	s.Wait()
	return nil
}

// Abort ends the connection with files open and requests unanswered: their
// readers get an error at once. It waits for the workers, hence for READs of
// a slow Data.
func (s *Server) Abort() error {
	err := unix.Unmount(s.dir, unix.MNT_FORCE|unix.MNT_DETACH)
	if err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("abort %s: %w", s.dir, err)
	}
	if err == nil {
		s.Wait()
	}
	return nil
}
