package console

// lockRules are lockdep's complaints: "WARNING: " since Linux 4.14, "[ INFO: "
// or "[ BUG: " before.
func lockRules() []rule {
	const head = `(?:WARNING|INFO|BUG): `
	deadlock := func(words string) rule {
		return rule{
			opener: re(head + `.*` + words),
			kind:   Lockdep, fault: FaultDeadlock, title: "possible deadlock in %F", place: inLock,
			skip: []string{"^process_one_work"}, // it takes the pseudo lock of the work it runs
		}
	}
	state := func(words, title string) rule {
		return rule{
			opener: re(`(WARNING|INFO|BUG): .*` + words),
			kind:   Lockdep, fault: FaultLockState, title: title, place: inLock,
		}
	}
	// kernels print what is held, and no stack
	leaving := state("lock held when returning to user space", "$1: lock held when returning to user space in %F")
	leaving.stackless = true
	unsafe := deadlock("-unsafe lock order detected")
	unsafe.place = inBecame
	return []rule{
		deadlock("possible circular locking dependency detected"),
		deadlock("possible irq lock inversion dependency detected"),
		deadlock("possible recursive locking detected"),
		unsafe,
		deadlock("Nested lock was not taken"),
		state("inconsistent lock state", "inconsistent lock state in %F"),
		state("bad unlock balance detected", "$1: bad unlock balance in %F"),
		state("bad contention detected", "$1: bad contention in %F"),
		state("held lock freed", "$1: held lock freed in %F"),
		state("still has locks held", "$1: still has locks held in %F"),
		leaving,
		{
			opener: re(`\[ BUG: Invalid wait context \]`),
			kind:   Lockdep, fault: FaultLockState, title: "WARNING: locking bug in %F", place: inStack, skip: []string{"lock_sock", "release_sock"},
		},
		{
			opener: re(`(WARNING|INFO): suspicious RCU usage`),
			kind:   Lockdep, fault: FaultRCUUsage, title: "$1: suspicious RCU usage in %F", place: inStack,
			skip: []string{"rcu", "kmem", "slab", "kmalloc", "vmalloc", "kcalloc", "kzalloc"},
		},
		{
			opener: re(`WARNING: RCU used illegally`),
			kind:   Lockdep, fault: FaultRCUUsage, title: "WARNING: suspicious RCU usage in %F", place: inStack, skip: []string{"rcu"},
		},
		{
			opener: re(`INFO: trying to register non-static key`),
			kind:   Unknown, fault: FaultLockdep, title: "INFO: trying to register non-static key in %F", place: inStack,
			skip: []string{"stack", "lock", "IRQ", "lockdep"},
		},
		{
			opener: re(`BUG: (MAX_[A-Z_]+|[a-z_]+) too low!`),
			kind:   Unknown, fault: FaultLockdep, title: "BUG: $1 too low!",
		},
		{
			opener: re(`BUG: workqueue leaked (?:lock|atomic)`),
			kind:   Unknown, fault: FaultWorkqueue, describe: workqueueLeak, stackless: true,
		},
	}
}

var lastFunction = re(`last function: ([a-zA-Z0-9_]+)`)

func workqueueLeak(_ []string, rows []row) (Kind, string) {
	const title = "BUG: workqueue leaked lock or atomic"
	for _, r := range rows[:min(len(rows), 6)] {
		if m := lastFunction.FindStringSubmatch(r.text); m != nil {
			return Unknown, title + " in " + m[1]
		}
	}
	return Unknown, title
}
