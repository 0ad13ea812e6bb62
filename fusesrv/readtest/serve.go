package readtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
)

// A config tells the server process what to serve. It is the first line of
// its standard input; an order a line follows, each answered by a line.
type config struct {
	Dir          string
	Path         string
	Workers      int
	MaxRead      int
	KeepCache    bool
	DirectIO     bool
	DirectSource bool
	DirectTarget bool
	SpliceWrites bool
	Valid        time.Duration
	Loopback     string // directory to serve
	Sockets      bool   // serve Files from sockets
	Device       string // serve the only one of Files from a block device
	Files        []file // served from memory if nothing else is set

	inKernel  bool // the server will see no READ
	fallsBack bool // the path is not fit for what the case does
	mayCopy   bool // the path need not be fit for one READ in ten
}

// A file is one with a pattern for contents. Its bytes end at Data where
// that is below Size.
type file struct {
	Name string
	Size int64
	Data int64
	Of   pattern.Pattern
}

// An order is something for the server process to do.
type order struct {
	Hold       fusesrv.Step  // answers wait from now on when they are as far; stepAsked: from the start
	Release    bool          // those that wait go on, new ones do not wait
	Fail       syscall.Errno // READs are answered with this from now on
	Mend       bool          // READs do not fail any more
	Wrong      string        // the next reply is preceded by a wrong one: see wrongReply
	Invalidate *span         // notify the kernel
	Store      *stored       // notify the kernel
	Close      bool          // unmount and end
	Wait       bool          // wait for the end of the mount, which the test has unmounted
}

// A span is a part of a file.
type span struct {
	File      file
	Off, Size int64
}

// A stored is what the kernel is to have in its cache of a file.
type stored struct {
	Name string
	Off  int64
	Data []byte
}

const (
	// stepAsked comes before the steps of a path: the READ is with the server.
	stepAsked fusesrv.Step = -1
	// stepStalled is within what brings the bytes of a READ from a socket, whatever
	// that is called on a path: the first half is there and the other does not come.
	stepStalled fusesrv.Step = -2
)

// A status is the answer to an order.
type status struct {
	Err     string // of Mount, of Close or of a notification
	Stats   fusesrv.Stats
	Waiting int             // answers held up
	Largest int             // most bytes that a READ asked for
	Sent    []syscall.Errno // what the kernel said to wrong replies
}

// serve is the server process.
func serve(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var c config
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	var g gate
	srv, err := c.mount(&g)
	if err != nil {
		return enc.Encode(status{Err: err.Error()})
	}
	if err := enc.Encode(status{}); err != nil {
		return errors.Join(err, srv.Abort())
	}
	for {
		var o order
		if err := dec.Decode(&o); err != nil {
			g.do(order{Release: true})
			return srv.Abort() // the test is gone
		}
		g.do(o)
		s := g.status()
		if err := tell(srv, o); err != nil {
			s.Err = err.Error()
		}
		s.Stats = srv.Stats()
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
}

// mount starts the server.
func (c *config) mount(g *gate) (*fusesrv.Server, error) {
	tree, err := c.tree(g)
	if err != nil {
		return nil, err
	}
	fusesrv.Processors(c.Workers)
	return fusesrv.Mount(c.Dir, tree, fusesrv.Options{
		Path: c.Path, Workers: c.Workers, MaxRead: c.MaxRead, KeepCache: c.KeepCache, Valid: c.Valid,
		DirectIO: c.DirectIO, DirectSource: c.DirectSource, DirectTarget: c.DirectTarget, SpliceWrites: c.SpliceWrites,
		Hooks: fusesrv.Hooks{
			OnRead:  func() syscall.Errno { return g.pass(stepAsked) },
			OnStep:  func(s fusesrv.Step) { g.pass(s) },
			OnReply: g.reply,
		},
	})
}

// tell carries out the part of o that is about the connection.
func tell(srv *fusesrv.Server, o order) error {
	var errs []error
	if s := o.Invalidate; s != nil {
		errs = append(errs, srv.Invalidate(s.File.Name, s.Off, s.Size))
	}
	if s := o.Store; s != nil {
		errs = append(errs, srv.StoreCache(s.Name, s.Off, s.Data))
	}
	if o.Close {
		errs = append(errs, srv.Close())
	}
	if o.Wait {
		srv.Wait()
	}
	return errors.Join(errs...)
}

// tree is what c says to serve.
func (c *config) tree(g *gate) (fusesrv.Tree, error) {
	if c.Loopback != "" {
		return fusesrv.Loopback(c.Loopback), nil
	}
	var all []fusesrv.File
	for _, f := range c.Files {
		data := io.NewSectionReader(f.Of, 0, f.Data)
		served := fusesrv.File{Name: f.Name, Size: f.Size, Data: data}
		if c.Sockets {
			served.Stream = stream(data, g)
		}
		if c.Device != "" {
			device, err := os.Open(c.Device)
			if err != nil {
				return nil, err
			}
			served.From = device
		}
		all = append(all, served)
	}
	return fusesrv.Generated(all...), nil
}

// stream yields a socket for each READ, from which data come. There is a way
// through g half-way.
func stream(data io.ReaderAt, g *gate) fusesrv.Stream {
	return func(off int64, size int) (int, func(), error) {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return -1, nil, err
		}
		w := os.NewFile(uintptr(fds[1]), "socket")
		var written sync.WaitGroup
		written.Go(func() {
			defer func() { _ = w.Close() }()
			all := io.NewSectionReader(data, off, int64(size))
			if g.stalls() {
				_, _ = io.CopyN(w, all, int64(size)/2)
				awaitTaken(w)
				g.pass(stepStalled)
			}
			_, _ = io.Copy(w, all) // EPIPE if the READ has ended
		})
		return fds[0], func() { unix.Close(fds[0]); written.Wait() }, nil
	}
}

// awaitTaken returns when what was written to a socket has been received, or its
// other end is closed.
func awaitTaken(w *os.File) {
	for {
		left, err := unix.IoctlGetInt(int(w.Fd()), unix.SIOCOUTQ)
		if err != nil || left == 0 {
			return
		}
		time.Sleep(100 * time.Microsecond)
	}
}
