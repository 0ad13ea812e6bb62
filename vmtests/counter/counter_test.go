package counter

import "testing"

// histogram is one as the kernel writes it.
const histogram = `# event histogram
#
# trigger info: hist:keys=common_pid:vals=hitcount,size:sort=hitcount:size=2048 [active]
#

{ common_pid:         61 } hitcount:          1  size:        100
{ common_pid:        145 } hitcount:       1024  size:    4194304

Totals:
    Hits: 1025
    Entries: 2
    Dropped: 0
`

func TestHistogramsAreSummedUp(t *testing.T) {
	sized, page := probe{size: "%cx"}, probe{}
	if n, err := sized.sum(histogram); n != 4194404 || err != nil {
		t.Errorf("%d bytes, %v; want 4194404", n, err)
	}
	if n, err := page.sum(histogram); n != 1025*4096 || err != nil {
		t.Errorf("pages: %d bytes, %v; want %d", n, err, 1025*4096)
	}
}

func TestHistogramsThatLostHitsAreRefused(t *testing.T) {
	p := probe{size: "%cx"}
	for _, text := range []string{"", "Totals:\n    Hits: 9\n    Entries: 1\n    Dropped: 3\n"} {
		if n, err := p.sum(text); err == nil {
			t.Errorf("%q: %d bytes, want an error", text, n)
		}
	}
}
