package console

import "strings"

// A reach bounds what is read for a report.
type reach struct {
	rows int // lines of the report
	// ahead are lines of the log; those of other CPUs and tasks count too.
	ahead int
}

var (
	whole = reach{rows: 3000, ahead: 20_000}
	// proof is for an opener that has yet to prove itself: a log may hold very
	// many of those.
	proof = reach{rows: proofLines, ahead: 16}
)

// A row is a line that belongs to a report.
type row struct {
	n    int
	text string
}

// A body is the lines of one report.
type body struct {
	rows  []row
	extra bool // another complaint came between its lines
}

func (b *body) last() int { return b.rows[len(b.rows)-1].n }

// collect gathers the lines of the report that opener starts: those of the
// same task or CPU, up to the kernel's own end mark or the next complaint.
func (r *reader) collect(opener line, rule *rule, rest scanner, reach reach) body {
	b := body{rows: []row{{opener.n, string(opener.text)}}}
	end := ending{leak: rule.fault == FaultLeak}
	shared := false // CPUs print their stacks into this report
	for ahead := 0; ahead < reach.ahead && len(b.rows) < reach.rows; ahead++ {
		raw, ok := rest.next()
		if !ok {
			break
		}
		l := split(rest.n, raw)
		if !sameContext(opener.context, l.context, shared) {
			continue
		}
		text := string(l.text)
		if other, _ := r.open(l); other != nil && !r.belongs(other, rule, text) {
			b.extra = true
			if end.frames > 0 || l.context.shared() {
				b.trim()
				break
			}
		}
		if foreign(text) && l.context.shared() || rule.proof && strings.Contains(text, " invoked oom-killer: ") {
			b.extra = true
			break
		}
		shared = shared || strings.Contains(text, "Sending NMI from CPU") || strings.Contains(text, "(detected by ")
		if end.before(text) {
			break
		}
		b.rows = append(b.rows, row{l.n, text})
		if end.after(r.patterns, text, l.n) {
			break
		}
	}
	return b
}

func sameContext(opener, other context, shared bool) bool {
	return opener == other || shared && other.cpu()
}

// foreign says that text starts a stack that is no complaint.
func foreign(text string) bool {
	return strings.Contains(text, "FAULT_INJECTION: forcing a failure") ||
		strings.Contains(text, "FAULT_FLAG_ALLOW_RETRY missing") ||
		strings.Contains(text, ": page allocation failure: ") ||
		strings.Contains(text, "vmalloc: allocation failure")
}

// trim takes off the lines that start the next report.
func (b *body) trim() {
	for len(b.rows) > 1 {
		text := b.rows[len(b.rows)-1].text
		if strings.TrimSpace(text) != "" && !isRule(text) && !strings.Contains(text, "[ cut here ]") {
			return
		}
		b.rows = b.rows[:len(b.rows)-1]
	}
}

// belongs says that a complaint inside a report is part of it: the panic that
// follows an oops, the oops that follows a BUG.
func (r *reader) belongs(other, opener *rule, text string) bool {
	if other.follows {
		return true
	}
	// kernels print some openers twice, as title and as die() message
	return other.fault == opener.fault && other.fault == FaultRCUStall
}

// An ending finds the last line of a report.
type ending struct {
	leak   bool
	frames int
}

// before says that text does not belong to the report any more.
func (e *ending) before(text string) bool {
	return e.leak && e.frames > 0 && strings.Contains(text, "unreferenced object")
}

// after says that text is the last line of the report.
func (e *ending) after(p *patterns, text string, n int) bool {
	if _, _, ok := p.parse(text, n); ok {
		e.frames++
		return false
	}
	if strings.Contains(text, "---[ end trace") || strings.Contains(text, "---[ end Kernel panic") {
		return true
	}
	return e.frames > 0 && isRule(text)
}

// isRule says that text is a line of "=" as sanitizers and lockdep print it.
func isRule(text string) bool {
	text = strings.TrimSpace(text)
	return len(text) >= 20 && strings.Trim(text, "=") == ""
}

// proofLines is how soon a report must look like one, its opener counted.
const proofLines = 4

// proven says that a kernel's report stands under the opener.
func (r *reader) proven(opener line, rule *rule) bool {
	for _, row := range r.collect(opener, rule, r.scanner, proof).rows[1:] {
		if _, _, ok := r.patterns.parse(row.text, row.n); ok {
			return true
		}
		if _, trace := heading(row.text); trace || strings.HasPrefix(row.text, "CPU: ") && strings.Contains(row.text, " Comm: ") {
			return true
		}
	}
	return false
}
