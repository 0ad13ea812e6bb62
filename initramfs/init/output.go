package main

import (
	"sync"
	"unicode/utf8"

	"github.com/runvm/runvm/internal/wire"
)

// maxQueued bounds the output that waits to be sent, in bytes; a program that
// writes faster than the host reads has to wait.
const maxQueued = 1 << 20

// A queue holds the output of a program between its pipes and the port, in
// the order in which it was read.
type queue struct {
	mu     sync.Mutex
	change *sync.Cond
	chunks []chunk
	size   int
	closed bool
}

type chunk struct {
	stream int
	data   []byte
}

func newQueue() *queue {
	q := new(queue)
	q.change = sync.NewCond(&q.mu)
	return q
}

// put appends a copy of data, waiting for room. After close it drops it.
func (q *queue) put(stream int, data []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.size > maxQueued && !q.closed {
		q.change.Wait()
	}
	if q.closed {
		return
	}
	q.size += len(data)
	last := len(q.chunks) - 1
	if last >= 0 && q.chunks[last].stream == stream && len(q.chunks[last].data)+len(data) <= wire.MaxChunk {
		q.chunks[last].data = append(q.chunks[last].data, data...)
	} else {
		q.chunks = append(q.chunks, chunk{stream, append([]byte(nil), data...)})
	}
	q.change.Broadcast()
}

// take removes the first chunk; ok is false when there will be none.
func (q *queue) take() (c chunk, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.chunks) == 0 {
		if q.closed {
			return chunk{}, false
		}
		q.change.Wait()
	}
	c = q.chunks[0]
	q.chunks = q.chunks[1:]
	q.size -= len(c.data)
	q.change.Broadcast()
	return c, true
}

// close makes take end after what is queued.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.change.Broadcast()
}

// record is c as a record of test id. What is not UTF-8, and what JSON would
// blow up beyond a record's bound, travels as base64.
func (c chunk) record(id string) *wire.Record {
	r := &wire.Record{Type: wire.Out, ID: id, Stream: c.stream}
	if utf8.Valid(c.data) && escapes(c.data) <= len(c.data)/8 {
		r.Text = string(c.data)
	} else {
		r.Data = c.data
	}
	return r
}

// escapes counts the bytes of p that JSON writes as six.
func escapes(p []byte) int {
	n := 0
	for _, c := range p {
		if c < ' ' && c != '\n' && c != '\t' && c != '\r' || c == 0x7f {
			n++
		}
	}
	return n
}
