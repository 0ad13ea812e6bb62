package console

import (
	"regexp"
	"strconv"
	"strings"
)

// pc is an address as old kernels print it before a function; those that hide
// it print (ptrval).
const pc = `(?:\[?<?(?:(?:0x)?[0-9a-f]{6,16}|\(_*ptrval_*\))>?\]? ?)`

// symbol is a function with its offset and size: "f.isra.0+0x12/0x34 [mod]".
const symbol = `([a-zA-Z_][a-zA-Z0-9_$]*)((?:\.[a-zA-Z0-9_.]+)?)\+(?:0x)?([0-9a-f]+)/(?:0x)?([0-9a-f]+)(?: \[([a-zA-Z0-9_]+)[^\]]*\])?`

type patterns struct {
	frame, arm, pointer, kernelIP, source, place, bare *regexp.Regexp
}

func newPatterns() *patterns {
	return &patterns{
		// x86, arm64, powerpc, s390, riscv: " [<ffffffff81>] ? f+0x1/0x2".
		frame: regexp.MustCompile(`^[ \t]*(?:<[A-Z]+>[ \t]*)?(?:` + pc + `[ \t]*){0,2}[ \t]*(\? )?` + symbol + `(.*)$`),
		// arm: "[<80101>] (f) from [<80102>] (g+0x1/0x2)", "f from g+0x1/0x2":
		// g is taken, f was taken from the line before or is the pointer.
		arm: regexp.MustCompile(`^[ \t]*(?:` + pc + `\()?([a-zA-Z_][a-zA-Z0-9_]*)[^ ]*(?: \[[^\]]*\])?\)? from (?:` + pc + `\()?` + symbol),
		// The instruction pointer of an exception in the kernel.
		pointer:  regexp.MustCompile(`(?:\b[RE]?IP: |\bNIP:? |\bPC: |\b(?:PC|pc) is at |\bpc : |\bepc *: |\bERA: |\bTPC: <|--- interrupt: [0-9a-f]+ at |Krnl PSW .*\()(?:[0-9a-f]{4}:)?(?:` + pc + `[ \t]*){0,2}[ \t]*` + symbol),
		kernelIP: regexp.MustCompile(`(?:\b[RE]?IP: |\bNIP:? |\b(?:PC|pc) is at |\bpc : )(?:(?:0010|0060|[0-9a-f]{4}):)?(?:` + pc + `|0x[0-9a-f]+|\(null\)| )`),
		// A kernel without names for its functions: "[<ffffffff81>] 0xffffffff81".
		bare:   regexp.MustCompile(`^(?:.*\bRIP: 0010:|[ \t]*(?:\[<[0-9a-f]{8,16}>\] )?)0x([0-9a-f]{8,16})[ \t]*$`),
		place:  regexp.MustCompile(`[a-zA-Z0-9_-]+\.[chS]:[0-9]+`),
		source: regexp.MustCompile(`^ ([a-zA-Z0-9_./-]+\.[chS]:[0-9]+)`),
	}
}

// parse reads a stack frame; sure is false for one the unwinder only guessed.
func (p *patterns) parse(text string, n int) (f Frame, sure, ok bool) {
	if len(text) < 4 {
		return f, false, false
	}
	if strings.Contains(text, " from ") {
		if m := p.arm.FindStringSubmatch(text); m != nil && strings.Contains(text, "+0x") {
			return newFrame(m[2], m[3], m[4], m[5], m[6], n), true, true
		}
	}
	if strings.Contains(text, "+0x") || strings.Contains(text, "/0x") {
		if m := p.frame.FindStringSubmatch(text); m != nil {
			f = newFrame(m[2], m[3], m[4], m[5], m[6], n)
			if s := p.source.FindStringSubmatch(m[7]); s != nil {
				f.Source = s[1]
			}
			return f, m[1] == "" && !strings.Contains(m[7], "(unreliable)"), true
		}
	}
	return f, false, false
}

// callee reads the function called in a line of arm's, "" in any other.
func (p *patterns) callee(text string) string {
	if !strings.Contains(text, " from ") {
		return ""
	}
	if m := p.arm.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

// registers says that text may hold an instruction pointer.
func registers(text string) bool {
	for _, name := range []string{"IP", "PC", "pc ", "epc ", "ERA: ", "TPC: ", "PSW", "--- interrupt"} {
		if strings.Contains(text, name) {
			return true
		}
	}
	return false
}

// instruction reads the function of an instruction pointer in the kernel;
// ok alone, with an empty Func, says that the pointer leads to no function.
func (p *patterns) instruction(text string, n int) (f Frame, ok bool) {
	if !registers(text) {
		return f, false
	}
	if m := p.pointer.FindStringSubmatch(text); m != nil {
		f = newFrame(m[1], m[2], m[3], m[4], m[5], n)
		f.Exact = true
		return f, true
	}
	if strings.Contains(text, "RIP: 0033") || strings.Contains(text, "RIP: 002b") || strings.Contains(text, "EIP: 0023") || strings.Contains(text, "EIP: 0073") {
		return f, false
	}
	if f, ok = p.address(text, n); ok {
		f.Exact = true
		return f, true
	}
	return f, p.kernelIP.MatchString(text)
}

// address reads a frame, or an instruction pointer, that has no name.
func (p *patterns) address(text string, n int) (f Frame, ok bool) {
	if !strings.Contains(text, "0x") {
		return f, false
	}
	m := p.bare.FindStringSubmatch(text)
	if m == nil {
		return f, false
	}
	return Frame{Address: m[1], Line: n}, true
}

func newFrame(name, suffix, offset, size, module string, n int) Frame {
	f := Frame{Func: name, Module: module, Line: n}
	if suffix != "" {
		f.Symbol = name + suffix
	}
	f.Offset, _ = strconv.ParseUint(offset, 16, 64)
	f.Size, _ = strconv.ParseUint(size, 16, 64)
	return f
}
