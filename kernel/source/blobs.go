package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/runvm/runvm/internal/sh"
)

// A Reader reads files of a tree out of its repository, with one git for all
// of them. It may be used by one goroutine at a time.
type Reader struct {
	tree *Tree
	cmd  *sh.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	read map[string][]byte
	err  error
}

// maxBlob bounds a file that a Reader returns, in bytes.
const maxBlob = 16 << 20

// Reader opens the tree for reading. ctx ends it, as Close does.
func (t *Tree) Reader(ctx context.Context, run sh.Runner) (*Reader, error) {
	r := &Reader{tree: t, cmd: t.Git(ctx, run, "cat-file", "--batch"), read: map[string][]byte{}}
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.out = bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		return nil, GitError(err)
	}
	return r, nil
}

// Close ends git and returns the first error there was.
func (r *Reader) Close() error {
	_ = r.in.Close()
	return errors.Join(r.err, r.cmd.Wait())
}

// Read returns the content of a file; false when the tree has no such file,
// or one of more than 16 MiB. What it returned once it remembers.
func (r *Reader) Read(name string) ([]byte, bool) {
	if text, ok := r.read[name]; ok {
		return text, text != nil
	}
	if r.err != nil || CheckPath(name) != nil {
		return nil, false
	}
	var text []byte
	if text, r.err = r.get(name); r.err != nil {
		return nil, false
	}
	r.read[name] = text
	return text, text != nil
}

// get asks git for a file; nil for none.
func (r *Reader) get(name string) ([]byte, error) {
	if _, err := fmt.Fprintf(r.in, "%s:%s\n", r.tree.ID, name); err != nil {
		return nil, err
	}
	head, err := r.out.ReadString('\n')
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(head)
	if len(fields) < 3 || strings.HasSuffix(head, " missing\n") || strings.HasSuffix(head, " ambiguous\n") {
		return nil, nil
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil || size < 0 {
		return nil, fmt.Errorf("read %s: git says %q", name, strings.TrimSpace(head))
	}
	if fields[1] != "blob" || size > maxBlob {
		_, err := io.CopyN(io.Discard, r.out, size+1)
		return nil, err
	}
	text := make([]byte, size+1) // and the end of line after it
	if _, err := io.ReadFull(r.out, text); err != nil {
		return nil, err
	}
	return text[:size:size], nil
}
