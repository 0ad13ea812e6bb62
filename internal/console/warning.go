package console

// warningRules are WARN() and its relatives.
func warningRules() []rule {
	users := []string{"debug_", "rcu", "hrtimer_", "timer_", "work_", "percpu_", "kmem_", "slab_", "kfree", "vunmap", "vfree", "__free_", "kobject_"}
	urb := []string{"usb_submit_urb", "usb_start_wait_urb", "usb_bulk_msg", "usb_interrupt_msg", "usb_control_msg"}
	memory := []string{"kmalloc", "kcalloc", "kzalloc", "krealloc", "kvmalloc", "vmalloc", "slab", "kmem", "alloc_page", "alloc_folio", "page_alloc", "alloc_noprof", "kvzalloc"}
	rules := []rule{
		at(`lib/debugobjects\.c`, `debug_`, "ODEBUG bug", FaultODEBUG, users...),
		at(`lib/refcount\.c`, `refcount_`, "refcount bug", FaultRefcount, "refcount", "kobject_", "^kref_"),
		at(`lib/kobject\.c`, `kobject_`, "kobject bug", FaultWarning, "kobject_"),
		at(`fs/proc/generic\.c`, `proc_register`, "proc registration bug", FaultWarning, "proc_"),
		at(`mm/usercopy\.c`, `usercopy_warn`, "bad usercopy", FaultUsercopy, "^usercopy_", "__check"),
		at(`kernel/locking/lockdep\.c`, `.*lock`, "locking bug", FaultLockdep, "lock_sock", "release_sock"),
		at(`mm/vmalloc\.c`, `__vmalloc_node_range`, "zero-size vmalloc", FaultWarning, memory...),
		at(`mm/[a-z_/]*\.c`, `k.?malloc`, "kmalloc bug", FaultWarning, memory...),
	}
	rules[1].kind, rules[5].kind = Refcount, Lockdep
	return append(rules,
		rule{
			opener: re(`WARNING: (?:.* at )?\S+ (?:at )?usb_submit_urb\b`),
			kind:   Warning, fault: FaultWarning, title: "WARNING in %F/usb_submit_urb", place: inPointer, skip: urb,
		},
		rule{
			opener: re(warned + `lib/list_debug\.c:\d+`),
			kind:   Warning, fault: FaultList, title: "WARNING in %F", place: inPointer,
		},
		rule{
			opener: re(warned + `(?:\S+:\d+|[a-zA-Z_][a-zA-Z0-9_.]*\+0x)`),
			kind:   Warning, fault: FaultWarning, title: "WARNING in %F", place: inPointer,
		},
		rule{
			opener: re(`WARNING: kernel stack regs at [0-9a-f]+ in [^ ]* has bad '([^']+)' value`),
			kind:   Unknown, fault: FaultStack, title: "WARNING: kernel stack regs has bad '$1' value", stackless: true,
		},
		rule{
			opener: re(`WARNING: kernel stack (regs|frame pointer).* has bad .*value`),
			kind:   Unknown, fault: FaultStack, title: "WARNING: kernel stack $1 has bad value", stackless: true,
		},
	)
}

// warned is the opener of WARN() up to its place: "WARNING: CPU: 0 PID: 1 at
// file:12 f+0x1/0x2" until Linux 6.17, "WARNING: file:12 at f+0x1/0x2, CPU#0:
// comm/1" since, "WARNING: at file:12 f()" before 4.0.
const warned = `WARNING: (?:CPU: \d+ PID: \d+ at |at )?`

// at is a WARN() in a file that checks what others hand to it.
func at(file, function, what string, fault Fault, skip ...string) rule {
	return rule{
		opener: re(warned + file + `:\d+ (?:(?:at )?_*` + function + `|at 0x)`),
		kind:   Warning, fault: fault, title: "WARNING: " + what + " in %F", place: inPointer, skip: skip,
	}
}
