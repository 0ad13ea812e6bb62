package console

import "strings"

// faultRules are exceptions the CPU raised in the kernel.
func faultRules() []rule {
	return []rule{
		{
			mark: "NULL pointer dereference", opener: re(`[Uu]nable to handle kernel NULL pointer dereference|BUG: [Kk]ernel NULL pointer dereference`),
			kind: NullDereference, fault: FaultNull, title: "BUG: unable to handle kernel NULL pointer dereference in %F", place: inPointer,
		},
		{
			mark: "nable to handle", opener: re(`[Uu]nable to handle (?:kernel paging request|page fault for address|kernel data access|kernel instruction fetch|kernel access|kernel execution|kernel read|kernel write)`),
			kind: MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel paging request in %F", place: inPointer,
		},
		{
			mark: "nable to handle kernel", opener: re(`BUG: [Uu]nable to handle kernel`),
			kind: MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel", place: nowhere,
		},
		{
			// "traps: prog[12] general protection fault ip:" is a program's.
			mark: "general protection fault", opener: re(`general protection (?:fault|maybe)(?:, |: [0-9a-f]{4}\b|: maybe)`),
			kind: Fatal, fault: FaultProtection, title: "general protection fault in %F", place: inPointer, follows: true,
		},
		{
			mark: "stack guard page was hit", opener: re(`BUG: (?:[A-Z]+ )?stack guard page was hit`),
			kind: Unknown, fault: FaultStack, title: "BUG: stack guard page was hit in %F", place: inStall, stackless: true,
		},
		{
			mark: "nsufficient stack space", opener: re(`Insufficient stack space to handle exception`),
			kind: Fatal, fault: FaultStack, title: "kernel stack overflow in %F", place: inPointer, stackless: true,
		},
		{
			mark: "PANIC: double fault", opener: re(`PANIC: double fault`),
			kind: Fatal, fault: FaultException, title: "PANIC: double fault in %F", place: onlyPointer, follows: true,
		},
		{
			mark: "Internal error: ", opener: re(`Internal error: .*\[#\d+\]`),
			kind: Fatal, fault: FaultException, title: "Internal error in %F", place: inPointer, follows: true,
		},
		{
			mark: "Unhandled fault: ", opener: re(`Unhandled fault: .* at 0x`),
			kind: Fatal, fault: FaultException, title: "Unhandled fault in %F", place: inPointer, follows: true,
		},
		{
			mark: "Alignment trap: ", opener: re(`Alignment trap: not handling instruction|Alignment trap: .*PC=0x`),
			kind: Fatal, fault: FaultException, title: "Alignment trap in %F", place: inPointer, follows: true,
		},
		{
			mark: "Kernel access of bad area", opener: re(`Oops: Kernel access of bad area`),
			kind: MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel paging request in %F", place: inPointer, follows: true,
		},
		{
			// what die() prints for every other exception: "divide error: 0000 [#1]"
			mark: " [#", opener: re(`(?:^|Oops: )(divide.error|stack segment|invalid opcode|bounds|alignment check|coprocessor segment overrun|invalid TSS|segment not present|int3|device not available|x87 FPU exception|SIMD exception|control protection fault|trap invalid opcode): [0-9a-f]{4} \[#\d+\]`),
			kind: Fatal, fault: FaultException, describe: exception, place: inPointer, follows: true,
		},
		{
			mark: " [#", opener: re(`Oops(?: -[^:]*)?: .*\[#\d+\]`),
			kind: Fatal, fault: FaultException, title: "Oops in %F", place: inPointer, follows: true,
		},
	}
}

// exception titles an exception by its name; some releases write divide_error.
func exception(m []string, _ []row) (Kind, string) {
	name := strings.ReplaceAll(m[1], "_", " ")
	if name == "stack segment" {
		name += " fault"
	}
	return Fatal, name + " in %F"
}

// bugRules are assertions of the kernel and checks of its data structures.
func bugRules() []rule {
	locks := []string{"spin_", "spin_bug", "_lock", "rwlock"}
	return []rule{
		{
			mark: "kernel BUG at mm/usercopy.c", opener: re(`kernel BUG at mm/usercopy\.c`),
			kind: Bug, fault: FaultUsercopy, title: "BUG: bad usercopy in %F", place: inPointer, skip: []string{"usercopy", "__check"}, follows: true,
		},
		{
			mark: "usercopy: Kernel memory ", opener: re(`usercopy: Kernel memory (?:exposure|overwrite) attempt detected`),
			kind: Bug, fault: FaultUsercopy, title: "BUG: bad usercopy in %F", place: inPointer, skip: []string{"usercopy", "__check"},
		},
		{
			mark: "kernel BUG at lib/list_debug.c", opener: re(`kernel BUG at lib/list_debug\.c`),
			kind: MemorySafety, fault: FaultList, title: "BUG: corrupted list in %F", place: inPointer, follows: true,
		},
		{
			mark: "ernel BUG ", opener: re(`[Kk]ernel BUG (?:at |\[#|in )`),
			kind: Bug, fault: FaultBug, title: "kernel BUG in %F", place: inPointer, follows: true,
		},
		{
			mark: "BUG: spinlock ", opener: re(`BUG: spinlock (lockup suspected|already unlocked|recursion|bad magic|wrong owner|wrong CPU|cpu recursion|trylock failure)`),
			kind: Lockdep, fault: FaultSpinlock, title: "BUG: spinlock $1 in %F", place: inStack, skip: locks,
		},
		{
			mark: "BUG: rwlock ", opener: re(`BUG: rwlock (lockup suspected|[a-z ]+?) on CPU`),
			kind: Lockdep, fault: FaultSpinlock, title: "BUG: rwlock $1 in %F", place: inStack, skip: locks,
		},
		{
			mark: "BUG: sleeping function called", opener: re(`BUG: sleeping function called from invalid context`),
			kind: AtomicSleep, fault: FaultAtomicSleep, title: "BUG: sleeping function called from invalid context in %F", place: inStack,
		},
		{
			mark: "BUG: scheduling while atomic", opener: re(`BUG: scheduling while atomic`),
			kind: AtomicSleep, fault: FaultAtomicSleep, title: "BUG: scheduling while atomic in %F", place: inStack, skip: []string{"schedul", "^wait_", "^preempt_"},
		},
		{
			mark: "BUG: using ", opener: re(`BUG: using ([a-z_]+\(\)) in preemptible`),
			kind: Lockdep, fault: FaultPreemption, title: "BUG: using $1 in preemptible code in %F", place: inStack, skip: []string{"preempt", "debug_smp_processor_id"},
		},
		{
			mark: "BUG: Bad page ", opener: re(`BUG: Bad page (state|map|cache)`),
			kind: Unknown, fault: FaultPageState, title: "BUG: Bad page $1 in %F", place: inStack,
			skip: []string{"bad_page", "check_", "free_", "_page", "_folio", "release_pages", "zap_", "unmap_", "bad_pte", "page_expected", "_pages", "__put_", "^put_", "^rmqueue", "tlb_"},
		},
		{
			mark: "Bad rss-counter", opener: re(`BUG: (Bad rss-counter state)`),
			kind: Unknown, fault: FaultPageState, title: "BUG: $1", stackless: true,
		},
		{
			mark: " on freeing mm", opener: re(`BUG: (non-zero [a-z_]+ on freeing mm)`),
			kind: Unknown, fault: FaultPageState, title: "BUG: $1", stackless: true,
		},
		{
			mark: "BUG: Dentry ", opener: re(`BUG: Dentry .*still in use .*\[(unmount) of`),
			kind: Unknown, fault: FaultBug, title: "BUG: Dentry still in use in $1",
		},
		{
			mark: "Busy inodes after unmount", opener: re(`VFS: Busy inodes after unmount`),
			kind: Fatal, fault: FaultBug, title: "VFS: Busy inodes after unmount (use-after-free)", stackless: true,
		},
		{
			mark: "BUG ", opener: re(`^BUG (?:[A-Za-z0-9_:-]+) ?(?:\([^)]*\))?: ([A-Z][A-Za-z -]+?)(?:\. .*|\(.*|0x.*|$)`),
			kind: Fatal, fault: FaultSlab, title: "BUG: $1", place: nowhere,
		},
		{
			mark: " age=", opener: re(`INFO: ((?:Allocated|Freed|Slab) in .* age=.*)`),
			kind: Unknown, fault: FaultSlab, describe: slabPiece,
		},
		{
			mark: "panicked at ", opener: re(`rust_kernel: panicked at `),
			kind: Unknown, fault: FaultBug, describe: rustPanic, place: inStack,
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
