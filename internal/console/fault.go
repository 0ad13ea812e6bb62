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
