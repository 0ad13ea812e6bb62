package console

// bugRules are assertions of the kernel.
func bugRules() []rule {
	locks := []string{"spin_", "spin_bug", "_lock", "rwlock"}
	return []rule{
		{
			opener: re(`kernel BUG at mm/usercopy\.c`),
			kind:   Bug, fault: FaultUsercopy, title: "BUG: bad usercopy in %F", place: inPointer, skip: []string{"^usercopy_", "__check"}, follows: true,
		},
		{
			opener: re(`usercopy: Kernel memory (?:exposure|overwrite) attempt detected`),
			kind:   Bug, fault: FaultUsercopy, title: "BUG: bad usercopy in %F", place: inPointer, skip: []string{"^usercopy_", "__check"},
		},
		{
			opener: re(`kernel BUG at lib/list_debug\.c`),
			kind:   MemorySafety, fault: FaultList, title: "BUG: corrupted list in %F", place: inPointer, follows: true,
		},
		{
			opener: re(`[Kk]ernel BUG (?:at |\[#|in )`),
			kind:   Bug, fault: FaultBug, title: "kernel BUG in %F", place: inPointer, follows: true,
			skip: []string{"^skb_"}, // they check what their callers hand to them
		},
		{
			// architectures without a trap for it: include/asm-generic/bug.h
			opener: re(`BUG: failure at \S+:\d+/([a-zA-Z0-9_]+)\(\)!`),
			kind:   Bug, fault: FaultBug, title: "kernel BUG in $1", stackless: true,
		},
		{
			opener: re(`BUG: spinlock (lockup suspected|already unlocked|recursion|bad magic|wrong owner|wrong CPU|cpu recursion|trylock failure)`),
			kind:   Lockdep, fault: FaultSpinlock, title: "BUG: spinlock $1 in %F", place: inStack, skip: locks,
		},
		{
			opener: re(`BUG: rwlock (lockup suspected|[a-z ]+?) on CPU`),
			kind:   Lockdep, fault: FaultSpinlock, title: "BUG: rwlock $1 in %F", place: inStack, skip: locks,
		},
		{
			opener: re(`BUG: sleeping function called from invalid context`),
			kind:   AtomicSleep, fault: FaultAtomicSleep, title: "BUG: sleeping function called from invalid context in %F", place: inStack,
		},
		{
			opener: re(`BUG: scheduling while atomic`),
			kind:   AtomicSleep, fault: FaultAtomicSleep, title: "BUG: scheduling while atomic in %F", place: inStack, skip: []string{"schedul", "^wait_", "^preempt_"},
		},
		{
			opener: re(`BUG: scheduling in a non-blocking section`),
			kind:   AtomicSleep, fault: FaultAtomicSleep, title: "BUG: scheduling in a non-blocking section in %F", place: inStack, skip: []string{"schedul", "^wait_", "^preempt_"},
		},
		{
			opener: re(`BUG: assuming (atomic|non migratable) context at`),
			kind:   AtomicSleep, fault: FaultAtomicSleep, title: "BUG: assuming $1 context in %F", place: inStack, skip: []string{"^__cant_"},
		},
		{
			opener: re(`BUG: using ([a-z_]+\(\)) in preemptible`),
			kind:   Lockdep, fault: FaultPreemption, title: "BUG: using $1 in preemptible code in %F", place: inStack, skip: []string{"preempt", "debug_smp_processor_id"},
		},
		{
			opener: re(`rust_kernel: panicked at `),
			kind:   Unknown, fault: FaultBug, describe: rustPanic, place: inStack,
		},
	}
}

// structureRules are checks of the kernel's data structures.
func structureRules() []rule {
	return []rule{
		{
			opener: re(`BUG: Bad page (state|map|cache)`),
			kind:   Unknown, fault: FaultPageState, title: "BUG: Bad page $1 in %F", place: inOwner,
			skip: []string{"bad_page", "check_", "free_", "_page", "_folio", "release_pages", "zap_", "unmap_", "bad_pte", "page_expected", "_pages", "__put_", "^put_", "^rmqueue", "tlb_"},
		},
		{
			// what was written to a free page: mm/page_poison.c
			opener: re(`pagealloc: (memory corruption|single bit error)`),
			kind:   MemorySafety, fault: FaultPageState, title: "pagealloc: $1",
		},
		{
			opener: re(`BUG: (Bad rss-counter state)`),
			kind:   Unknown, fault: FaultPageState, title: "BUG: $1", stackless: true,
		},
		{
			opener: re(`BUG: (non-zero [a-z_]+ on freeing mm)`),
			kind:   Unknown, fault: FaultPageState, title: "BUG: $1", stackless: true,
		},
		{
			opener: re(`BUG: Dentry .*still in use .*\[(unmount) of`),
			kind:   Unknown, fault: FaultBug, title: "BUG: Dentry still in use in $1",
		},
		{
			opener: re(`VFS: Busy inodes after unmount`),
			kind:   Fatal, fault: FaultBug, title: "VFS: Busy inodes after unmount (use-after-free)", stackless: true,
		},
		{
			opener: re(`VFS: Close: file count is 0`),
			kind:   Fatal, fault: FaultBug, title: "VFS: Close: file count is zero (use-after-free)", stackless: true,
		},
		{
			opener: re(`^BUG (?:[A-Za-z0-9_:,.()-]+) ?(?:\([^)]*\))?: ([A-Z][A-Za-z_ -]+?)(?:\. .*|\(.*|\b0x.*|$)`),
			kind:   Fatal, fault: FaultSlab, title: "BUG: $1", place: nowhere,
		},
		{
			opener: re(`INFO: ((?:Allocated|Freed|Slab) in .* age=.*)`),
			kind:   Unknown, fault: FaultSlab, describe: slabPiece,
		},
	}
}

// slabPiece titles a piece of SLUB's report whose head was lost.
func slabPiece(m []string, _ []row) (Kind, string) {
	return Unknown, "INFO: " + scrub(functionWords(m[1]))
}

// rustPanic takes the message, which is on the line after the place.
func rustPanic(_ []string, rows []row) (Kind, string) {
	if len(rows) < 2 || rows[1].text == "" {
		return Unknown, "rust panic in %F"
	}
	return Unknown, scrub(rows[1].text) + " in %F"
}
