package readtest

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/runvm/runvm/vmtests/guest"
)

const mib = 1 << 20

// edges are sizes around pages, readahead windows and requests.
func edges() []int64 {
	page := int64(guest.PageSize())
	return []int64{
		0, 1, page - 1, page, page + 1, 2*page - 1,
		128<<10 - 1, 128 << 10, 128<<10 + 1, mib, 2*mib + 123,
	}
}

// byteCases are about the bytes that buffered readers and mappings get.
func byteCases() []Case {
	return slices.Concat(
		about(everywhere(), false, map[string]func(t *testing.T, c config){
			"SequentialReadsAreExact":          sequentialReadsAreExact,
			"RandomReadsAreExact":              randomReadsAreExact,
			"MappedReadsAreExact":              mappedReadsAreExact,
			"PrivateMapKeepsItsWritesToItself": privateMapKeepsItsWritesToItself,
			"ConcurrentReadsAreExact":          concurrentReadsAreExact,
		}),
		about(onFiles(), false, map[string]func(t *testing.T, c config){
			"WrittenBytesAreReadBack": writtenBytesAreReadBack,
		}))
}

func sequentialReadsAreExact(t *testing.T, c config) {
	var files []file
	for i, size := range edges() {
		files = append(files, makeFile(fmt.Sprintf("%d", size), uint64(i), size))
	}
	m := start(t, c, files...)
	var total int64
	for i, f := range files {
		got := readAll(t, m.open(f.Name), []int{mib, 1000, 4096, 65537}[i%4])
		if int64(len(got)) != f.Size {
			t.Errorf("file of %d bytes: read %d", f.Size, len(got))
		}
		same(t, f.Of, got, 0)
		total += f.Size
	}
	m.delivered(0, total)
}

func randomReadsAreExact(t *testing.T, c config) {
	f := makeFile("f", 1, mib+77)
	m := start(t, c, f)
	h := m.open(f.Name)
	number := guest.Seed(t, "readtest.seed")
	rnd := rand.New(rand.NewPCG(number, 0))
	for i := range 100 {
		off := rnd.Int64N(f.Size)
		size := 1 + rnd.Int64N(min(f.Size-off, 300<<10))
		if i%4 != 0 {
			size = min(size, 10000)
		}
		same(t, f.Of, readAt(t, h, off, int(size)), off)
		if i%25 == 24 {
			guest.Evict(t, h)
		}
	}
	m.askedFor(1)
}

func mappedReadsAreExact(t *testing.T, c config) {
	orders := map[string]func(n int) []int{
		"sequential": func(n int) []int {
			pages := make([]int, n)
			for i := range pages {
				pages[i] = i
			}
			return pages
		},
		"random": func(n int) []int { return rand.New(rand.NewPCG(seed, 1)).Perm(n) },
	}
	for name, order := range orders {
		t.Run(name, func(t *testing.T) {
			f := makeFile("f", 2, 300<<10+5)
			m := start(t, c, f)
			mem := mapFile(t, m.open(f.Name), f.Size, unix.PROT_READ, unix.MAP_SHARED)
			page := guest.PageSize()
			for _, i := range order((len(mem) + page - 1) / page) {
				end := min((i+1)*page, len(mem))
				same(t, f.Of, mem[i*page:end], int64(i*page))
			}
			m.askedFor(f.Size)
		})
	}
}

func privateMapKeepsItsWritesToItself(t *testing.T, c config) {
	f := makeFile("f", 3, 3*int64(guest.PageSize()))
	m := start(t, c, f)
	h := m.open(f.Name)
	mem := mapFile(t, h, f.Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE)
	middle := guest.PageSize() + 10
	mem[middle]++
	if err := f.Of.Check(mem, 0); err == nil {
		t.Error("a write to the private mapping is not seen in it")
	}
	same(t, f.Of, readAll(t, h, mib), 0)
}

func concurrentReadsAreExact(t *testing.T, c config) {
	const readers = 6
	c.Workers = 3
	c.MaxRead = 32 << 10
	f := makeFile("f", 4, 300<<10)
	m := start(t, c, f)
	var all sync.WaitGroup
	for i := range readers {
		h := m.open(f.Name)
		all.Go(func() {
			// Two and two start at the same place.
			b := make([]byte, f.Size)
			from := f.Size / readers * int64(i/2)
			if _, err := io.ReadFull(io.NewSectionReader(h, from, f.Size), b[from:]); err != nil {
				t.Error(err)
			}
			same(t, f.Of, b[from:], from)
		})
	}
	within(t, "concurrent reads", all.Wait)
}

func writtenBytesAreReadBack(t *testing.T, c config) {
	old, changed := makeFile("f", 5, 500<<10), makeFile("f", 6, 500<<10)
	m := start(t, c, old)
	h := m.openFlags(old.Name, os.O_RDWR)
	same(t, old.Of, readAll(t, h, mib), 0)
	at, size := int64(123457), 300001
	b := make([]byte, size)
	_, _ = changed.Of.ReadAt(b, at) // never fails
	if _, err := h.WriteAt(b, at); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"cached", "evicted"} {
		got := readAll(t, h, mib)
		t.Log(when)
		same(t, old.Of, got[:at], 0)
		same(t, changed.Of, got[at:at+int64(size)], at)
		same(t, old.Of, got[at+int64(size):], at+int64(size))
		guest.Evict(t, h)
	}
}
