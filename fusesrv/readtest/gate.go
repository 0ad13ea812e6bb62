package readtest

import (
	"errors"
	"sync"
	"syscall"

	"github.com/runvm/runvm/fusesrv"
)

// A gate is what every answer to a READ goes through.
type gate struct {
	wronging sync.Mutex // held while a wrong reply is being sent; before mu
	mu       sync.Mutex
	at       fusesrv.Step  // where answers wait
	closed   chan struct{} // nil when they do not
	waiting  int
	errno    syscall.Errno
	largest  int
	wrong    string
	sent     []syscall.Errno
}

// pass waits while the gate is closed at step s.
func (g *gate) pass(s fusesrv.Step) syscall.Errno {
	g.mu.Lock()
	closed := g.closed
	if closed != nil && g.at == s {
		g.waiting++
		g.mu.Unlock()
		<-closed
		g.mu.Lock()
		g.waiting--
	}
	defer g.mu.Unlock()
	return g.errno
}

// stalls tells whether answers wait for the other half of their bytes.
func (g *gate) stalls() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed != nil && g.at == stepStalled
}

// do carries out the part of o that is about answers.
func (g *gate) do(o order) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if o.Hold != 0 && g.closed == nil {
		g.closed, g.at = make(chan struct{}), o.Hold
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
	if o.Wrong != "" {
		g.wrong = o.Wrong
	}
}

// status is what the gate has seen.
func (g *gate) status() status {
	g.wronging.Lock()
	defer g.wronging.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	return status{Waiting: g.waiting, Largest: g.largest, Sent: g.sent}
}

// Wrong replies, each sent before the right one.
const (
	wrongLong    = "long"    // more bytes than asked for
	wrongTwice   = "twice"   // the right one, two times
	wrongUnknown = "unknown" // to a request that nobody has made
	wrongShort   = "short"   // fewer bytes than there are: allowed, it ends the file
)

// reply remembers a reply, and sends a wrong one if ordered to.
func (g *gate) reply(r fusesrv.Reply) {
	if wrong := g.next(r); wrong != "" {
		g.wronging.Lock()
		defer g.wronging.Unlock()
		g.remember(wrongReply(wrong, r))
	}
}

// next takes note of r and returns what to send before it.
func (g *gate) next(r fusesrv.Reply) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	wrong := g.wrong
	g.wrong = ""
	g.largest = max(g.largest, r.Asked)
	return wrong
}

// remember keeps what the kernel said to wrong replies.
func (g *gate) remember(errs []error) {
	var sent []syscall.Errno
	for _, err := range errs {
		var no syscall.Errno
		if err != nil && !errors.As(err, &no) {
			no = syscall.EPROTO // not an answer of the kernel
		}
		sent = append(sent, no)
	}
	g.mu.Lock()
	g.sent = append(g.sent, sent...)
	g.mu.Unlock()
}

// wrongReply sends what is called wrong.
func wrongReply(wrong string, r fusesrv.Reply) []error {
	const other = 1 << 40
	switch wrong {
	case wrongLong:
		return []error{r.Send(r.Unique, r.Asked+1)}
	case wrongTwice:
		return []error{r.Send(r.Unique, r.Size), r.Send(r.Unique, r.Size)}
	case wrongUnknown:
		return []error{r.Send(r.Unique+other, r.Size)}
	case wrongShort:
		return []error{r.Send(r.Unique, r.Size/2)}
	}
	return nil
}
