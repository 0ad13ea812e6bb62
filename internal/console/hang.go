package console

// hangRules are the watchdogs.
func hangRules() []rule {
	return []rule{
		{
			opener: re(`BUG: soft lockup`),
			kind:   Hang, fault: FaultSoftLockup, title: "BUG: soft lockup in %F", place: inStall,
		},
		{
			opener: re(`[Dd]etected [Hh]ard LOCKUP|CPU \d+ Hard LOCKUP`),
			kind:   Hang, fault: FaultHardLockup, title: "BUG: hard lockup in %F", place: inStall,
		},
		{
			opener: re(`INFO: rcu_[a-z_]+ (?:self-)?detected(?: expedited)? stall`),
			kind:   Hang, fault: FaultRCUStall, title: "INFO: rcu detected stall in %F", place: inStall,
		},
		{
			opener: re(`rcu_tasks_?[a-z]* (?:detected stall|is stalled)|INFO: rcu_tasks detected stalls`),
			kind:   Hang, fault: FaultRCUStall, title: "INFO: rcu detected stall in %F", place: inStall,
		},
		{
			opener: re(`INFO: task .* blocked (?:in I/O wait )?for more than `),
			kind:   Hang, fault: FaultHungTask, title: "INFO: task hung in %F", place: inHung,
		},
		{
			// under the report of the task that is blocked: whom it waits for
			opener: re(`INFO: task .* blocked on an? [a-z-]+`),
			kind:   Hang, fault: FaultHungTask, title: "INFO: task hung in %F", place: inHung, follows: true,
		},
		{
			opener: re(`INFO: task .* can't die for more than `),
			kind:   Hang, fault: FaultHungTask, title: "INFO: task can't die in %F", place: inHung,
		},
		{
			opener: re(`BUG: workqueue lockup`),
			kind:   Hang, fault: FaultWorkqueue, title: "BUG: workqueue lockup", stackless: true,
		},
		{
			opener: re(`unregister_netdevice: waiting for [^ ]+ to become free`),
			kind:   Hang, fault: FaultHungTask, title: "unregister_netdevice: waiting for DEV to become free", stackless: true, follows: true,
		},
	}
}

// panicRules are panics that nothing else explains, and the last resort.
func panicRules() []rule {
	const head = `Kernel panic - not syncing: `
	rest := []rule{
		{
			opener: re(head + `stack-protector:`),
			kind:   Fatal, fault: FaultStack, describe: stackProtector, place: inStack, skip: []string{"stack_chk"}, follows: true, stackless: true,
		},
		{
			opener: re(head + `corrupted stack end`),
			kind:   Fatal, fault: FaultStack, title: "kernel panic: corrupted stack end in %F", place: inStall, skip: []string{"schedule", "retint"}, follows: true,
		},
		{
			opener: re(head + `[Kk]ernel stack overflow`),
			kind:   Fatal, fault: FaultStack, title: "kernel stack overflow in %F", place: inStall, skip: []string{"bad_stack"}, follows: true,
		},
		{
			opener: re(head + `Couldn't open N_TTY ldisc`),
			kind:   Fatal, fault: FaultPanic, title: "kernel panic: Couldn't open N_TTY ldisc", follows: true,
		},
		{
			opener: re(head + `(Attempted to kill init!)`),
			kind:   Fatal, fault: FaultPanic, title: "kernel panic: $1", follows: true, aftermath: true,
		},
		{
			opener: re(head + `((?:VFS: Unable to mount root|No (?:working )?init found|Requested init|No filesystem could mount root).*?)(?:  |$)`),
			kind:   Fatal, fault: FaultBootPanic, title: "kernel panic: $1", follows: true,
		},
		{
			opener: re(head + `((?:Out of memory|System is deadlocked on memory).*?)(?:  |$)`),
			kind:   Fatal, fault: FaultOOM, title: "kernel panic: $1", follows: true,
		},
		{
			opener: re(head + `(Fatal exception|Fatal machine check|panic_on_warn set|hung_task: blocked tasks|softlockup: hung tasks|Hard LOCKUP|RCU Stall|KASAN: panic_on_warn set|kmsan: panic|UBSAN: panic_on_warn set|KCSAN: panic|KFENCE: panic_on_warn set|kasan\.fault=panic|kfence\.fault=panic|Oopsed too often|Oops failed to kill thread)`),
			kind:   Fatal, fault: FaultPanic, title: "kernel panic: $1", follows: true, aftermath: true,
		},
		{
			opener: re(head + `(.*?)(?:  |$)`),
			kind:   Fatal, fault: FaultPanic, title: "kernel panic: $1", follows: true,
		},
	}
	return append(rest, lastResort()...)
}

// lastResort are words the kernel uses for complaints nobody listed here.
// Programs use them too, so a kernel's stack or registers must follow.
func lastResort() []rule {
	return []rule{
		{
			opener: re(`^(?:\[ )?BUG: ([^ ].*)`),
			kind:   Bug, fault: FaultOther, title: "BUG: $1", proof: true, kernels: true,
		},
		{
			// the rest of the line was lost
			opener: re(`^(BUG|WARNING|INFO):\s*$`),
			kind:   Unknown, fault: FaultOther, title: "$1: corrupted", stampedOnly: true,
		},
		{
			opener: re(`^(?:\[ )?WARNING: ([^ ].*)`),
			kind:   Warning, fault: FaultOther, title: "WARNING: $1", proof: true,
		},
		{
			opener: re(`^(?:\[ )?INFO: ([^ ].*)`),
			kind:   Unknown, fault: FaultOther, title: "INFO: $1", proof: true,
		},
		{
			// the secure world beside Linux has ended, and will answer no more
			opener: re(`trusty: panic \(.*?\): (?:DEBUG )?(?:(ASSERT FAILED) at \(.*?\): ?)?(.*)`),
			kind:   Fatal, fault: FaultOther, describe: secureWorld, stackless: true,
		},
		{
			opener: re(`trusty: panic`),
			kind:   Fatal, fault: FaultOther, title: "trusty: panic", stackless: true,
		},
		{
			// the fuzzer that drives the machine could not go on
			opener: re(`(SYZ(?:FAIL|FATAL): .*)`),
			kind:   Driver, fault: FaultOther, title: "$1", stackless: true,
		},
	}
}

// secureWorld titles what Trusty, the operating system of Android's secure
// world, says through its driver.
func secureWorld(m []string, _ []row) (Kind, string) {
	if m[1] != "" {
		return Fatal, "trusty: " + m[1] + ": " + m[2]
	}
	return Fatal, "trusty: panic: " + m[2]
}

var protectorIn = re(`Kernel stack is corrupted in: ([a-zA-Z_][a-zA-Z0-9_]*)`)

func stackProtector(_ []string, rows []row) (Kind, string) {
	if m := protectorIn.FindStringSubmatch(rows[0].text); m != nil && !hexadecimal(m[1]) {
		return Fatal, "kernel panic: stack is corrupted in " + m[1]
	}
	return Fatal, "kernel panic: stack is corrupted in %F"
}

func hexadecimal(s string) bool {
	for _, c := range s {
		if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return len(s) >= 8
}
