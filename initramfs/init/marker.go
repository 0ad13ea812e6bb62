package main

import "bytes"

// framing is how a Go test binary announces what a test does.
const framing = "\x16=== "

// maxName bounds the name of a test that is marked, in bytes.
const maxName = 400

// A marker finds, in the output of a Go test binary, where tests start and
// where those that run in parallel go on.
type marker struct {
	mark func(name string)
	tail []byte // what may be the start of an announcement
}

// scan takes the next bytes of output and calls mark for each test that
// starts or goes on in them.
func (m *marker) scan(p []byte) {
	m.tail = append(m.tail, p...)
	rest := m.tail
	for {
		i := bytes.Index(rest, []byte(framing))
		if i < 0 {
			rest = rest[max(0, len(rest)-len(framing)+1):]
			break
		}
		rest = rest[i:]
		end := bytes.IndexByte(rest, '\n')
		if end < 0 && len(rest) < maxName {
			break
		}
		if end < 0 {
			end = maxName
		}
		m.announced(rest[len(framing):end])
		rest = rest[end:]
	}
	m.tail = append(m.tail[:0], rest...)
}

// announced calls mark when a test starts or goes on.
func (m *marker) announced(text []byte) {
	for _, word := range []string{"RUN ", "CONT "} {
		if name, ok := bytes.CutPrefix(text, []byte(word)); ok {
			m.mark(string(bytes.TrimSpace(name)))
		}
	}
}
