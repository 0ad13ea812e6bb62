package vm

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	"github.com/runvm/runvm/internal/wire"
)

// What output must leave of the bound, in bytes: a part for the records that
// are none, and the place of the one that says what was dropped.
const (
	controlRoom = 1 << 20
	closingRoom = 256
)

// ReadRecords calls record for every record of the stream r, in order, and
// returns the number of lines that are none: not JSON, without a type, longer
// than wire.MaxLine, or without an end. Its error is r's.
func ReadRecords(r io.Reader, record func(wire.Record)) (bad int, err error) {
	s := splitter{line: func(line []byte) error {
		if rec, ok := parse(line); ok {
			record(rec)
		} else {
			bad++
		}
		return nil
	}}
	if _, err = io.Copy(&s, r); err != nil {
		return bad, err
	}
	return bad, s.end()
}

// parse reads one line of the stream.
func parse(line []byte) (wire.Record, bool) {
	var rec wire.Record
	if len(line) > wire.MaxLine || !bytes.HasSuffix(line, []byte("\n")) {
		return rec, false
	}
	if err := json.Unmarshal(line, &rec); err != nil || rec.Type == "" {
		return wire.Record{}, false
	}
	return rec, true
}

// A splitter calls line for each line written to it, newline included. Of a
// line longer than wire.MaxLine it passes on the first wire.MaxLine+1 bytes;
// the last line may have no newline.
type splitter struct {
	line func([]byte) error
	buf  []byte
	skip bool // the rest of a line that was too long
}

// Write takes all of p; its error is line's.
func (s *splitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		part, rest, whole := bytes.Cut(p, []byte("\n"))
		if whole {
			part = p[:len(part)+1]
		}
		p = rest
		if err := s.add(part, whole); err != nil {
			return 0, err
		}
	}
	return n, nil
}

func (s *splitter) add(part []byte, whole bool) error {
	if !s.skip {
		s.buf = append(s.buf, part[:min(len(part), wire.MaxLine+1-len(s.buf))]...)
		if whole || len(s.buf) > wire.MaxLine {
			if err := s.end(); err != nil {
				return err
			}
			s.skip = true
		}
	}
	if whole {
		s.skip = false
	}
	return nil
}

// end passes on what has no newline yet.
func (s *splitter) end() error {
	if len(s.buf) == 0 {
		return nil
	}
	line := s.buf
	s.buf = s.buf[:0]
	return s.line(line)
}

// A recorder copies the result stream to w and hands out its records.
type recorder struct {
	splitter
	w       *bufio.Writer
	max     int64
	record  func(wire.Record)
	seen    int64 // all bytes written
	kept    int64 // bytes passed on
	dropped int64 // bytes of lines that were not
	bad     int   // lines that are no records
	open    bool  // the last line passed on has no newline
}

func newRecorder(w io.Writer, limit int64, record func(wire.Record)) *recorder {
	r := &recorder{w: bufio.NewWriterSize(w, 64<<10), max: limit, record: record}
	r.line = r.take
	return r
}

// Write takes all of p; its error is w's.
func (r *recorder) Write(p []byte) (int, error) {
	r.seen += int64(len(p))
	n, err := r.splitter.Write(p)
	if err == nil {
		err = r.w.Flush()
	}
	return n, err
}

// take passes one line on, when there is room for it.
func (r *recorder) take(line []byte) error {
	rec, ok := parse(line)
	if !ok {
		r.bad++
	}
	room := r.max - closingRoom
	if !ok || rec.Type == wire.Out {
		room -= min(controlRoom, r.max/4)
	}
	if r.kept+int64(len(line)) > room {
		r.dropped += int64(len(line))
		return nil
	}
	r.kept += int64(len(line))
	r.open = !bytes.HasSuffix(line, []byte("\n"))
	if ok {
		r.record(rec)
	} else if r.open && len(line) > wire.MaxLine {
		// Two broken lines must not be read back as one.
		line, r.open = append(line, '\n'), false
	}
	_, err := r.w.Write(line)
	return err
}

// Close passes on an unfinished line and says what was dropped.
func (r *recorder) Close() error {
	if err := r.end(); err != nil {
		return err
	}
	if r.dropped > 0 {
		if err := r.sayDropped(); err != nil {
			return err
		}
	}
	return r.w.Flush()
}

func (r *recorder) sayDropped() error {
	rec := wire.Record{Type: wire.Error, Text: fmt.Sprintf("results too long: %d bytes of output left out", r.dropped)}
	line, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	if r.open {
		line = append([]byte("\n"), line...)
	}
	r.record(rec)
	_, err = r.w.Write(append(line, '\n'))
	return err
}
