package main

import "bytes"

// framing is how test2json framing announces a test.
const framing = "\x16=== RUN "

// maxName bounds the name of a test that is marked, in bytes.
const maxName = 400

// A marker finds the starts of tests in the output of a Go test binary.
type marker struct {
	mark func(name string)
	tail []byte // what may be the start of an announcement
}

// scan takes the next bytes of output and calls mark for each test that
// starts in them.
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
		m.mark(string(bytes.TrimSpace(rest[len(framing):end])))
		rest = rest[end:]
	}
	m.tail = append(m.tail[:0], rest...)
}
