package console

import "strings"

// faultRules are exceptions the CPU raised in the kernel.
func faultRules() []rule {
	return []rule{
		{
			opener: re(`[Uu]nable to handle kernel NULL pointer dereference|BUG: [Kk]ernel NULL pointer dereference`),
			kind:   NullDereference, fault: FaultNull, title: "BUG: unable to handle kernel NULL pointer dereference in %F", place: inPointer,
		},
		{
			opener: re(`[Uu]nable to handle kernel access to user memory`),
			kind:   MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel access to user memory in %F", place: inPointer,
		},
		{
			opener: re(`[Uu]nable to handle (?:page fault for address|unknown paging fault|kernel (?:paging request|pointer dereference|data access|instruction fetch|unaligned access|access|exec|read|write))`),
			kind:   MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel paging request in %F", place: inPointer,
		},
		{
			opener: re(`BUG: [Uu]nable to handle kernel`),
			kind:   MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel", place: nowhere,
		},
		{
			// "traps: prog[12] general protection fault ip:" is a program's.
			opener: re(`general protection fault(?:, |: [0-9a-f]{4}\b|: maybe)`),
			kind:   Fatal, fault: FaultProtection, title: "general protection fault in %F", place: inPointer, follows: true,
		},
		{
			opener: re(`BUG: (?:\S+ )?stack guard page was hit`),
			kind:   Unknown, fault: FaultStack, title: "BUG: stack guard page was hit in %F", place: inStall, stackless: true,
		},
		{
			opener: re(`Insufficient stack space to handle exception`),
			kind:   Fatal, fault: FaultStack, title: "kernel stack overflow in %F", place: inPointer, stackless: true,
		},
		{
			opener: re(`PANIC: double fault`),
			kind:   Fatal, fault: FaultException, title: "PANIC: double fault in %F", place: onlyPointer, follows: true,
		},
		{
			// before there are handlers of exceptions: arch/x86/mm/extable.c
			opener: re(`PANIC: early exception 0x([0-9a-f]{2}) IP `),
			kind:   Fatal, fault: FaultBootPanic, describe: earlyException, stackless: true,
		},
		{
			opener: re(`^CFI failure (?:at|\(target)`),
			kind:   Fatal, fault: FaultException, title: "CFI failure in %F", place: inPointer, skip: []string{"cfi"},
		},
		{
			opener: re(`Internal error: .*\[#\d+\]`),
			kind:   Fatal, fault: FaultException, title: "Internal error in %F", place: inPointer, follows: true,
		},
		{
			opener: re(`Unhandled fault: .* at 0x`),
			kind:   Fatal, fault: FaultException, title: "Unhandled fault in %F", place: inPointer, follows: true,
		},
		{
			opener: re(`Alignment trap: not handling instruction|Alignment trap: .*PC=0x`),
			kind:   Fatal, fault: FaultException, title: "Alignment trap in %F", place: inPointer, follows: true,
		},
		{
			opener: re(`Oops: Kernel access of bad area`),
			kind:   MemorySafety, fault: FaultPage, title: "BUG: unable to handle kernel paging request in %F", place: inPointer, follows: true,
		},
		died(`^`),
		died(`Oops: `),
		{
			opener: re(`Oops(?: -[^:]*)?: .*\[#\d+\]`),
			kind:   Fatal, fault: FaultException, title: "Oops in %F", place: inPointer, follows: true,
		},
		{
			// where die() prints no code: "Oops - illegal instruction [#1]" on riscv,
			// "Kernel bug detected[#1]:" on mips, "swapper/0(1): Oops [#1]" on sparc
			opener: re(`^(?:\S+\(\d+\): )?([A-Za-z][A-Za-z0-9 _',!/-]*?) ?\[#\d+\]:?(?: [A-Z_]+(?:=\d+)?)*\s*$`),
			kind:   Fatal, fault: FaultException, describe: exception, place: inPointer, follows: true, proof: true,
		},
	}
}

// died is what die() prints for every other exception, "divide error: 0000 [#1]",
// on s390 "specification exception: 0006 ilc:2 [#1]".
func died(head string) rule {
	return rule{
		opener: re(head + `([A-Za-z][A-Za-z0-9 _'-]*): [0-9a-f]{4}(?: ilc:\d)? \[#\d+\]`),
		kind:   Fatal, fault: FaultException, describe: exception, place: inPointer, follows: true,
	}
}

// exception titles an exception by its name; some releases write divide_error.
func exception(m []string, _ []row) (Kind, string) {
	name := strings.ReplaceAll(m[1], "_", " ")
	switch {
	case name == "stack segment":
		name += " fault"
	case strings.HasSuffix(name, "BUG"), strings.Contains(name, "bug detected"):
		return Bug, "kernel BUG in %F"
	}
	return Fatal, name + " in %F"
}

// earlyException names the exception by its number, arch/x86/include/asm/trapnr.h.
func earlyException(m []string, _ []row) (Kind, string) {
	names := map[string]string{
		"00": "divide error", "06": "invalid opcode", "08": "double fault", "0d": "general protection fault", "0e": "page fault",
	}
	name, ok := names[m[1]]
	if !ok {
		name = "exception"
	}
	return Fatal, "PANIC: early " + name
}
