package e2e

import "github.com/runvm/runvm/internal/console"

// bugs are assertions, exceptions and undefined behaviour.
func bugs() map[string][]outcome {
	return map[string][]outcome{
		"PANIC":             {crash(console.FaultPanic, "kernel panic: dumptest")},
		"PANIC_STOP_IRQOFF": {crash(console.FaultPanic, "kernel panic: panic stop irqoff test").by("panic_stop_irqoff_fn", "panics in a callback of stop_machine")},
		"PANIC_IN_HARDIRQ":  {crash(console.FaultPanic, "kernel panic: from hard IRQ context").by("panic_in_hardirq", "panics in a timer's callback")},
		"BUG_IN_HARDIRQ":    {crash(console.FaultBug, "kernel BUG in {}").by("bug_in_hardirq", "fails in a timer's callback")},
		"BUG":               {crash(console.FaultBug, "kernel BUG in {}")},
		"WARNING":           {warning()},
		"WARNING_MESSAGE":   {warning()},
		"EXCEPTION":         {kasan("null-ptr-deref Write"), nullOops()},
		"UNALIGNED_LOAD_STORE_WRITE": {
			survives("XFAIL: arch has CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS", "x86 reads and writes at any address"),
		},
		"OVERFLOW_SIGNED":   {survives("Overflowing signed addition", "the kernel is built with -fno-strict-overflow: it wraps, as defined")},
		"OVERFLOW_UNSIGNED": {survives("Overflowing unsigned addition", "unsigned numbers wrap, as defined")},
		"ARRAY_BOUNDS":      {crash(console.FaultUBSAN, "UBSAN: array-index-out-of-bounds in {}"), without("UBSAN_BOUNDS")},
		"FAM_BOUNDS": {
			crash(console.FaultUBSAN, "UBSAN: array-index-out-of-bounds in {}"),
			survives("built with a compiler that does not support __counted_by", "the compiler knows no __counted_by"),
			without("UBSAN_BOUNDS"),
		},
		"PTR_BOUNDS": {
			crash(console.FaultUBSAN, "UBSAN: array-index-out-of-bounds in {}"),
			survives("built with a compiler that does not support __counted_by_ptr", "the compiler knows no __counted_by_ptr"),
			without("UBSAN_BOUNDS"),
		},
		"CORRUPT_LIST_ADD": {crash(console.FaultList, "WARNING in {}"), without("LIST_HARDENED")},
		"CORRUPT_LIST_DEL": {crash(console.FaultList, "WARNING in {}"), without("LIST_HARDENED")},
		"UNSET_SMEP":       {warning().by("native_write_cr4", "the write to CR4 warns, and is undone")},
		"DOUBLE_FAULT":     {survives("XFAIL: this test is ia32-only", "needs a 32-bit kernel")},
		"CORRUPT_PAC":      {survives("XFAIL: this test is arm64-only", "needs arm64")},
	}
}

// stacks are overflows and corruptions of the stack.
func stacks() map[string][]outcome {
	smashed := []outcome{
		crash(console.FaultStack, "kernel panic: stack is corrupted in {}"),
		kasan("stack-out-of-bounds Write").by("(?:__)?lkdtm_CORRUPT_STACK(?:_STRONG)?", "KASAN sees the write, before the canary is read"),
		oops().by("full_proxy_write", "without STACKPROTECTOR the smashed return address is jumped to; callers are lost"),
	}
	guard := func(says string) []outcome {
		const chance = "VMAP_STACK is not set: there is no guard page, but chance put there what KASAN watches"
		return []outcome{oops(), kasan("vmalloc-out-of-bounds Read"), kasan(`[a-z-]+ Read`).by("lkdtm_STACK_GUARD_PAGE_(?:LEADING|TRAILING)", chance),
			survives(says, "VMAP_STACK is not set: there is no guard page, and chance put harmless memory there")}
	}
	erased := []outcome{
		survives("XFAIL: stackleak is not enabled", "stacks are not erased in this configuration"),
		survives("XFAIL: stackleak is not supported", "not for this machine"),
	}
	return map[string][]outcome{
		"EXHAUST_STACK": {
			crash(console.FaultStack, "BUG: stack guard page was hit in {}").by("direct_entry", "the recursion fills the stack: what was asked for is named"),
			kasan("stack-out-of-bounds Read").by("recursive_loop", "the recursion runs into KASAN's shadow of the next stack"),
		},
		"CORRUPT_STACK":        smashed,
		"CORRUPT_STACK_STRONG": smashed,
		"REPORT_STACK":         {survives("Stack offset: ", "only tells an offset")},
		"REPORT_STACK_CANARY": {
			survives("ok: stack canaries differ", "only compares two threads: their canaries differ"),
			kasan("stack-out-of-bounds Read").by("__lkdtm_REPORT_STACK_CANARY", "it looks for its canary behind an array, which KASAN sees"),
			without("STACKPROTECTOR"),
		},
		"STACK_GUARD_PAGE_LEADING":  guard("FAIL: accessed page before stack!"),
		"STACK_GUARD_PAGE_TRAILING": guard("FAIL: accessed page after stack!"),
		"STACKLEAK_ERASING":         erased, // until Linux 6.16
		"KSTACK_ERASE":              erased,
	}
}

// stuck are types that never end.
func stuck() map[string][]outcome {
	soft := crash(console.FaultSoftLockup, "BUG: soft lockup in {}").by("direct_entry", "what the CPU was asked to do, as its own instruction differs from run to run")
	hard := crash(console.FaultHardLockup, "BUG: hard lockup in {}").by("direct_entry", "the other CPU notices: HARDLOCKUP_DETECTOR_BUDDY")
	stall := crash(console.FaultRCUStall, "INFO: rcu detected stall in {}").by("direct_entry", "the other CPU notices that RCU does not go on")
	return map[string][]outcome{
		"LOOP":       {hangs("PREEMPT: the loop is preempted and holds nothing, so no watchdog minds; runvm's clock ends it"), soft},
		"SOFTLOCKUP": {soft},
		"HARDLOCKUP": {hard, stall, hangs("interrupts are off and no other CPU watches; runvm's clock ends it")},
		"SMP_CALL_LOCKUP": {
			crash(console.FaultSoftLockup, "BUG: soft lockup in {}").by("smp_call_function_single", "waits for the other CPU, which loops"),
			hard.by("(?:__)?lkdtm_SMP_CALL_LOCKUP", "what the other CPU was asked to run; this one notices"), stall,
			survives("FAIL: no other online CPUs", "needs two CPUs"),
		},
		"SPINLOCKUP": {
			crash(console.FaultLockState, "WARNING: lock held when returning to user space in {}").by("lkdtm_do_action", "lockdep sees the first lock kept; a tail call names the caller"),
			crash(console.FaultAtomicSleep, "BUG: scheduling while atomic in {}").by("(?:sys|ir).*_exit_to_user_mode", "the lock that is kept forbids to sleep; which complaint comes first is chance"),
			soft,
		},
		"HUNG_TASK": {crash(console.FaultHungTask, "INFO: task hung in {}")},
	}
}

// heap are mistakes with memory.
func heap() map[string][]outcome {
	const noAlloc = `built \*without\* CONFIG_INIT_ON_ALLOC_DEFAULT_ON`
	zeroed := []outcome{
		survives("Memory appears initialized", "nobody else's bytes were handed out"),
		survives(noAlloc, "INIT_ON_ALLOC_DEFAULT_ON is not set: it would hide bugs, not show them"),
	}
	return map[string][]outcome{
		"SLAB_LINEAR_OVERFLOW": {
			kasan("slab-out-of-bounds Write"),
			blind("Attempting slab linear overflow", "nothing watches the end of an object"),
		},
		"VMALLOC_LINEAR_OVERFLOW": {kasan("vmalloc-out-of-bounds Write"), oops()},
		"WRITE_AFTER_FREE": {
			kasan("slab-use-after-free Write"),
			blind("Attempting bad write to freed memory", "nothing watches freed objects"),
		},
		"READ_AFTER_FREE": {
			kasan("slab-use-after-free Read"),
			blind("Memory correctly poisoned", "freed memory was overwritten"), blind("FAIL: Memory was not poisoned", "nothing watches freed objects"),
		},
		"KFENCE_READ_AFTER_FREE": {
			crash(console.FaultKFENCE, "KFENCE: use-after-free read in {}"),
			survives("FAIL: kfence memory never allocated!", "KFENCE is not set: KASAN finds all it would find"),
		},
		"WRITE_BUDDY_AFTER_FREE": {
			kasan("use-after-free Write"),
			survives("Attempting bad write to the buddy page after free", "a memset, which KASAN sees only with FORTIFY_SOURCE or a compiler that has __asan_memset"),
		},
		"READ_BUDDY_AFTER_FREE": {
			kasan("use-after-free Read"), blind("Memory correctly poisoned", "freed memory was overwritten"),
			blind("FAIL: Buddy page was not poisoned", "nothing watches freed pages"),
		},
		"SLAB_INIT_ON_ALLOC":  zeroed,
		"BUDDY_INIT_ON_ALLOC": zeroed,
		"SLAB_FREE_DOUBLE": {
			kasan("invalid-free").by("lkdtm_do_action", "the free is a tail call, so its caller is named"),
			crash(console.FaultBug, "kernel BUG in {}").by("lkdtm_do_action", "the free is a tail call, so its caller is named"),
			blind("Attempting double slab free", "without SLAB_FREELIST_HARDENED the list of free objects is corrupted silently"),
		},
		"SLAB_FREE_CROSS": {
			warning().by("lkdtm_do_action", "the free is a tail call, so its caller is named"),
			survives("Attempting cross-cache slab free", "SLAB_FREELIST_HARDENED is not set: the object goes to its own slab's list"),
		},
		"SLAB_FREE_PAGE": {
			warning(), nullOops(), kasan("null-ptr-deref Read"),
			survives("Attempting non-Slab slab free", "without SLAB_FREELIST_HARDENED a free without a cache is believed"),
		},
	}
}

// perms are accesses that the page tables forbid.
func perms() map[string][]outcome {
	run := []outcome{oops().by("execute_location", "the fault is in reading the instruction: the caller is to blame")}
	return map[string][]outcome{
		"WRITE_RO":            {oops()},
		"WRITE_RO_AFTER_INIT": {oops()},
		"WRITE_KERN":          {oops(), kasan("global-out-of-bounds Write")},
		"WRITE_OPD":           {survives("XFAIL: Platform doesn't use function descriptors", "x86 has no function descriptors")},
		"EXEC_DATA":           run,
		"EXEC_STACK":          run,
		"EXEC_KMALLOC":        run,
		"EXEC_VMALLOC":        run,
		"EXEC_RODATA":         run,
		"EXEC_NULL":           {nullOops().by("execute_location", "the fault is in reading the instruction: the caller is to blame")},
		"EXEC_USERSPACE":      {oops()},
		"ACCESS_USERSPACE":    {kasan("user-memory-access Read"), oops()},
		"ACCESS_NULL":         {kasan("null-ptr-deref Read"), nullOops()},
	}
}

// copies are copies between the kernel and programs.
func copies() map[string][]outcome {
	bad := func(by, kasanSays string) []outcome {
		const inlined = "the copy is in a function that several types share"
		all := []outcome{usercopy().by(by, inlined)}
		if kasanSays != "" {
			all = append(all, kasan(kasanSays).by(by, inlined))
		}
		return append(all, without("HARDENED_USERCOPY"))
	}
	// LKDTM itself says nothing of those that survive
	stack := append(bad("do_usercopy_stack", ""), survives("attempting bad copy_(?:to|from)_user of distant stack", "HARDENED_USERCOPY is not set"))
	beyond := append(stack, kasan("[a-z-]+ Read").by("do_usercopy_stack", "HARDENED_USERCOPY is not set, but chance put behind the stack what KASAN watches"))
	return map[string][]outcome{
		"USERCOPY_SLAB_SIZE_TO":        bad("do_usercopy_slab_size", "slab-out-of-bounds Read"),
		"USERCOPY_SLAB_SIZE_FROM":      bad("do_usercopy_slab_size", "slab-out-of-bounds Write"),
		"USERCOPY_SLAB_WHITELIST_TO":   bad("do_usercopy_slab_whitelist", ""),
		"USERCOPY_SLAB_WHITELIST_FROM": bad("do_usercopy_slab_whitelist", ""),
		"USERCOPY_STACK_FRAME_TO":      stack,
		"USERCOPY_STACK_FRAME_FROM":    stack,
		"USERCOPY_STACK_BEYOND":        beyond,
		"USERCOPY_VMALLOC":             bad("do_usercopy_page_span", "vmalloc-out-of-bounds Read"),
		"USERCOPY_FOLIO":               bad("do_usercopy_page_span", "use-after-free Read"),
		"USERCOPY_KERNEL":              {usercopy(), without("HARDENED_USERCOPY")},
	}
}

// fortify are calls of string functions that overflow their buffer.
func fortify() map[string][]outcome {
	all := map[string][]outcome{}
	for _, what := range []string{"STR_OBJECT", "STR_MEMBER", "MEM_OBJECT", "MEM_MEMBER", "STRSCPY"} {
		all["FORTIFY_"+what] = []outcome{warning(), without("FORTIFY_SOURCE")}
	}
	all["FORTIFY_STRSCPY"] = append(all["FORTIFY_STRSCPY"], kasan("stack-out-of-bounds Write"))
	return all
}

// others are about control flow and time.
func others() map[string][]outcome {
	timing := func(done string) []outcome {
		return []outcome{
			survives(done, "only counts, and takes its time"),
			hangs("only counts, four thousand million times: under emulation that takes more than the time it is given, however busy the host is"),
		}
	}
	return map[string][]outcome{
		"CFI_FORWARD_PROTO": {without("CFI_CLANG")},
		"CFI_BACKWARD":      {survives(`built \*without\* CONFIG_ARM64_PTR_AUTH_KERNEL=y nor CONFIG_SHADOW_CALL_STACK`, "x86 has no checked return addresses here")},
		"ATOMIC_TIMING":     timing("atomic timing: done"),
		"REFCOUNT_TIMING":   timing("refcount timing: done"),
		"EFI_RUNTIME_CRASH": {survives("FAIL: EFI GetNextVariableName\\(\\) is not available", "the machine has no EFI")},
		"PPC_RADIX_TLBIEL":  {survives("XFAIL: ", "needs a PowerPC")},
		"PPC_SLB_MULTIHIT":  {survives("XFAIL: This test is for ppc64", "needs a PowerPC")},
	}
}
