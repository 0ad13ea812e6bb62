package fuseread

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/runvm/runvm/fusesrv"
	"github.com/runvm/runvm/fusesrv/pattern"
)

// A config tells the server process what to serve. It is the first line of
// its standard input; an order a line follows, each answered by a line.
type config struct {
	Dir       string
	Path      string
	Workers   int
	MaxRead   int
	KeepCache bool
	Valid     time.Duration
	Loopback  string // directory to serve; "" serves Files from memory
	Files     []file
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
	Hold    bool          // READs wait from now on
	Release bool          // READs that wait go on, new ones do not wait
	Fail    syscall.Errno // READs are answered with this from now on
	Mend    bool          // READs do not fail any more
	Close   bool          // unmount and end
}

// A status is the answer to an order.
type status struct {
	Err     string // of Mount or of Close
	Stats   fusesrv.Stats
	Waiting int // READs held up
}

// A gate is what every READ goes through.
type gate struct {
	mu      sync.Mutex
	closed  chan struct{} // nil when READs pass
	waiting int
	errno   syscall.Errno
}

// pass waits while the gate is closed.
func (g *gate) pass() syscall.Errno {
	g.mu.Lock()
	closed := g.closed
	if closed != nil {
		g.waiting++
		g.mu.Unlock()
		<-closed
		g.mu.Lock()
		g.waiting--
	}
	defer g.mu.Unlock()
	return g.errno
}

// do carries out the part of o that is about the gate.
func (g *gate) do(o order) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.Hold && g.closed == nil {
		g.closed = make(chan struct{})
	}
	if o.Release && g.closed != nil {
		close(g.closed)
		g.closed = nil
	}
	if o.Fail != 0 {
		g.errno = o.Fail
	}
	if o.Mend {
		g.errno = 0
	}
}

// held is how many READs wait.
func (g *gate) held() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting
}

// serve is the server process.
func serve(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	var c config
	if err := dec.Decode(&c); err != nil {
		return fmt.Errorf("read config: %w", err)
	}
	var g gate
	srv, err := fusesrv.Mount(c.Dir, c.tree(), fusesrv.Options{
		Path: c.Path, Workers: c.Workers, MaxRead: c.MaxRead,
		KeepCache: c.KeepCache, Valid: c.Valid, Hooks: fusesrv.Hooks{OnRead: g.pass},
	})
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
		s := status{}
		if o.Close {
			if err := srv.Close(); err != nil {
				s.Err = err.Error()
			}
		}
		s.Stats, s.Waiting = srv.Stats(), g.held()
		if err := enc.Encode(s); err != nil {
			return err
		}
	}
}

// tree is what c says to serve.
func (c *config) tree() fusesrv.Tree {
	if c.Loopback != "" {
		return fusesrv.Loopback(c.Loopback)
	}
	var files []fusesrv.File
	for _, f := range c.Files {
		files = append(files, fusesrv.File{Name: f.Name, Size: f.Size, Data: io.NewSectionReader(f.Of, 0, f.Data)})
	}
	return fusesrv.Generated(files...)
}
