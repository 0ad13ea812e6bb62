package console

import (
	"regexp"
	"strings"
)

// sanitizerRules are KASAN, KFENCE, KMSAN, KCSAN, UBSAN and kmemleak.
func sanitizerRules() []rule {
	allocators := []string{"kmem_", "slab_", "kfree", "vfree", "kvfree", "vunmap", "mempool_free"}
	return []rule{
		{
			opener: re(`BUG: KASAN: (?:double-free or invalid-free|invalid-free|double-free)(?: in |$)`),
			kind:   KASANInvalidFree, fault: FaultKASAN, title: "KASAN: invalid-free in %F", place: inHeader, skip: allocators,
		},
		{
			opener: re(`BUG: KASAN: (.*)`),
			kind:   KASANUnknown, fault: FaultKASAN, describe: kasan, place: inHeader,
		},
		{
			opener: re(`BUG: KFENCE: ([a-z- ]+?)(?: in |$)`),
			kind:   KFENCEUnknown, fault: FaultKFENCE, describe: kfence, place: inHeader, skip: allocators,
		},
		{
			opener: re(`BUG: KMSAN: ([a-z-]+)`),
			kind:   KMSANUnknown, fault: FaultKMSAN, describe: kmsan, place: inBare,
			skip: []string{"alloc_skb", "_copy_to_", "copy_to_", "copy_from_", "usb_submit_urb", "usb_start_wait_urb", "usb_bulk_msg", "usb_interrupt_msg", "usb_control_msg", "^copy_page_to_iter", "^copyout", "^instrument_", "^iterate_and_advance"},
		},
		{
			opener: re(`BUG: KCSAN: (.*)`),
			kind:   KCSANUnknown, fault: FaultKCSAN, describe: kcsan, stackless: true,
		},
		{
			opener: re(`UBSAN: ([A-Za-z][a-z-]+(?: behaviou?r)?) in `),
			kind:   UBSAN, fault: FaultUBSAN, describe: ubsan, place: inStack, skip: []string{"handle_overflow", "^val_to_string"},
		},
		{
			// where it only traps: "UBSAN: shift out of bounds at f+0x1/0x2" on x86,
			// "Internal error: UBSAN: shift out of bounds: 00000000f2005514 [#1]" on arm64
			opener: re(`UBSAN: ([a-z][a-z/ -]+)(?: at |: [0-9a-f]{8,16} \[#)`),
			kind:   UBSAN, fault: FaultUBSAN, describe: ubsan, place: inPointer,
		},
		{
			opener: re(`BUG: memory leak`),
			kind:   Leak, fault: FaultLeak, title: "memory leak in %F", place: inStack,
			skip: []string{"kmemleak", "alloc", "kmem", "slab", "mmap", "create_object", "idr_get", "list_lru_init", "printf", "pcpu_create", "strdup", "strndup", "memdup", "usb_get_descriptor"},
		},
		{
			opener: re(`kmemleak: \d+ new suspected memory leaks`),
			kind:   Leak, fault: FaultLeak, title: "memory leak", stackless: true,
		},
	}
}

// access finds "Read" or "Write" in the lines under a sanitizer's opener.
func access(rows []row) string {
	for _, r := range rows[:min(len(rows), 12)] {
		for _, word := range []string{"Read", "Write"} {
			if strings.Contains(r.text, word+" of size ") || strings.Contains(r.text, word+" at addr ") {
				return word
			}
		}
		if strings.Contains(r.text, "Probe ") && strings.Contains(r.text, " access ") {
			return ""
		}
	}
	return ""
}

// where is "in f+0x1/0x2", "on address 1234", "at addr 1234" and the like.
var where = regexp.MustCompile(`^([a-z-]+)(?: in | on |$)(.*)`)

func kasan(m []string, rows []row) (Kind, string) {
	parts := where.FindStringSubmatch(m[1])
	if parts == nil {
		return KASANUnknown, "KASAN: " + scrub(m[1])
	}
	what, how := parts[1], access(rows)
	kind := kasanKind(what, how)
	switch {
	case how == "" && parts[2] != "":
		return kind, "KASAN: " + what + " in " + scrub(functionOnly(parts[2]))
	case strings.Contains(m[1], " on address ") || parts[2] == "":
		return kind, strings.TrimSpace("KASAN: " + what + " " + how)
	}
	return kind, "KASAN: " + what + " " + how + " in %F"
}

func kasanKind(what, how string) Kind {
	write := how == "Write"
	switch {
	case strings.Contains(what, "use-after"):
		return pick(write, KASANUseAfterFreeWrite, KASANUseAfterFreeRead)
	case what == "null-ptr-deref":
		return pick(write, KASANNullWrite, KASANNullRead)
	case strings.Contains(what, "free"):
		return KASANInvalidFree
	}
	return pick(write, KASANWrite, KASANRead)
}

func pick(yes bool, a, b Kind) Kind {
	if yes {
		return a
	}
	return b
}

func kfence(m []string, _ []row) (Kind, string) {
	what := m[1]
	title := "KFENCE: " + what + " in %F"
	write := strings.HasSuffix(what, "write")
	switch {
	case strings.HasPrefix(what, "use-after-free"):
		return pick(write, KFENCEUseAfterFreeWrite, KFENCEUseAfterFreeRead), title
	case what == "memory corruption":
		return KFENCECorruption, title
	case what == "invalid free":
		return KFENCEInvalidFree, title
	case write:
		return KFENCEWrite, title
	case strings.HasSuffix(what, "read"):
		return KFENCERead, title
	}
	return KFENCEUnknown, title
}

func kmsan(m []string, _ []row) (Kind, string) {
	title := "KMSAN: " + m[1] + " in %F"
	switch {
	case strings.Contains(m[1], "infoleak"):
		return KMSANInfoLeak, title
	case strings.Contains(m[1], "use-after-free"):
		return KMSANUseAfterFreeRead, title
	case strings.Contains(m[1], "uninit"):
		return KMSANUninit, title
	}
	return KMSANUnknown, title
}

// kcsan sorts the two functions of a race: which of them comes first in the
// log is chance.
func kcsan(m []string, _ []row) (Kind, string) {
	kind := KCSANUnknown
	switch {
	case strings.HasPrefix(m[1], "data-race"):
		kind = KCSANDataRace
	case strings.HasPrefix(m[1], "assert"):
		kind = KCSANAssert
	}
	what, functions, ok := strings.Cut(m[1], " in ")
	if !ok {
		return kind, "KCSAN: " + scrub(m[1])
	}
	a, b, two := strings.Cut(functions, " / ")
	a, b = functionOnly(a), functionOnly(b)
	if two && b < a {
		a, b = b, a
	}
	if two {
		return kind, "KCSAN: " + what + " in " + a + " / " + b
	}
	return kind, "KCSAN: " + what + " in " + a
}

func ubsan(m []string, _ []row) (Kind, string) {
	what := strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")
	what = strings.Replace(what, "undefined-behavior", "undefined-behaviour", 1)
	if what == "array-index-out-of-bounds" {
		return UBSANMemory, "UBSAN: " + what + " in %F"
	}
	return UBSAN, "UBSAN: " + what + " in %F"
}

// functionOnly cuts the offset, size and compiler's suffix off a function.
func functionOnly(s string) string {
	f, _, ok := strings.Cut(s, "+0x")
	if !ok {
		return s
	}
	f, _, _ = strings.Cut(f, ".")
	if _, rest, ok := strings.Cut(s, " at addr "); ok && rest != "" {
		return f + " at addr " + rest
	}
	return f
}
