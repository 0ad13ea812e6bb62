package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/runvm/runvm/internal/verdict"
)

// mailWidth is the most columns of a line in a mail to a kernel list
// (Documentation/process/email-clients.rst: 80 at most, and room for quotes).
const mailWidth = 72

// The bounds of a mail.
const (
	mailTests  = 15 // tests that are named
	mailStack  = 16 // lines of a crash
	mailCrash  = 3  // crashes
	mailIndent = "  "
)

// Mail writes a run as plain text of 72 columns that fits into an answer to a
// mailing list. Only what cannot be cut, a command's word, may be wider.
func Mail(w io.Writer, s Source) error {
	m := &mail{r: s.Report, source: s}
	m.verdict()
	m.kernel()
	m.failures()
	m.crashes()
	m.notes()
	m.again()
	_, err := io.WriteString(w, m.b.String())
	return err
}

type mail struct {
	b      strings.Builder
	r      *verdict.Report
	source Source
}

// para writes text as a paragraph whose lines behind the first are indented.
func (m *mail) para(first, indent, text string) {
	m.b.WriteString(wrap(first, indent, strings.Fields(text), "") + "\n")
}

// wrap puts words into lines of mailWidth columns; end is put at
// the end of each line but the last.
func wrap(first, indent string, words []string, end string) string {
	var lines []string
	now := first
	for i, word := range words {
		if i > 0 && utf8.RuneCountInString(now)+1+utf8.RuneCountInString(word)+utf8.RuneCountInString(end) > mailWidth {
			lines = append(lines, now+end)
			now = indent + word
			continue
		}
		if i > 0 {
			now += " "
		}
		now += word
	}
	return strings.Join(append(lines, now), "\n")
}

// cut is a line that is not wrapped, at most mailWidth columns wide.
func (m *mail) cut(format string, args ...any) {
	text := strings.TrimRight(strings.ReplaceAll(line(fmt.Sprintf(format, args...)), "\t", " "), " ")
	if runes := []rune(text); len(runes) > mailWidth {
		text = string(runes[:mailWidth-1]) + "…"
	}
	m.b.WriteString(text + "\n")
}

func (m *mail) gap() { m.b.WriteString("\n") }

// fact writes a named paragraph.
func (m *mail) fact(name, text string) {
	if text = line(text); text != "" {
		const column = 9
		m.para(fmt.Sprintf("%-*s", column, name), strings.Repeat(" ", column), text)
	}
}

func (m *mail) verdict() {
	text := string(m.r.Verdict)
	if m.r.Reason != "" {
		text += ": " + m.r.Reason
	}
	m.fact("verdict", text)
}

// kernel says what was applied on what, and where that ran.
func (m *mail) kernel() {
	k, machine := m.r.Run.Kernel, m.r.Run.Machine
	m.fact("base", k.Name)
	m.fact("", k.Base)
	if n := len(k.Applied); n > 0 {
		text := number(n, "patch")
		if n > 1 {
			text = fmt.Sprintf("%d patches", n)
		}
		if shift := shifted(k); shift != "" {
			text += ", with " + shift
		}
		m.fact("applied", text)
		for i, p := range k.Applied {
			if i == mailTests {
				m.cut("         and %d more", n-mailTests)
				break
			}
			title := p.Subject
			if title == "" {
				title = p.Name
			}
			m.cut("         %2d %s", i+1, title)
		}
	}
	m.fact("config", k.Profile)
	if machine.Accel != "" {
		m.fact("machine", fmt.Sprintf("QEMU, %s, %d MiB, %s", machine.Accel, machine.MemoryMiB, number(machine.CPUs, "CPU")))
	}
	m.fact("uname", m.r.Uname)
}

// failures lists the tests of each program.
func (m *mail) failures() {
	m.gap()
	named := 0
	for i := range m.r.Programs {
		p := &m.r.Programs[i]
		m.fact("tests", fmt.Sprintf("%s: %s", name(p), counts(p)))
		for _, t := range telling(p.Tests) {
			if named++; named > mailTests {
				continue
			}
			m.para(mailIndent, mailIndent+mailIndent, line(fmt.Sprintf("%s %s: %s", t.Verdict, t.Name, t.Reason)))
		}
		if len(telling(p.Tests)) == 0 && p.Verdict != verdict.Pass && p.Reason != "" {
			m.para(mailIndent, mailIndent+mailIndent, line(p.Reason))
		}
	}
	if named > mailTests {
		m.cut("%sand %d more", mailIndent, named-mailTests)
	}
}

// name is what a person calls a program.
func name(p *verdict.Program) string {
	if p.Arg != "" {
		return p.Arg
	}
	return p.ID
}

// crashes quotes what the kernel complained of, with its stack.
func (m *mail) crashes() {
	for i, c := range m.r.Crashes {
		if i == mailCrash {
			m.gap()
			m.cut("and %d more complaints of the kernel", len(m.r.Crashes)-mailCrash)
			return
		}
		m.gap()
		title := c.Title
		if c.Allowed != nil {
			title += " (allowed: " + c.Allowed.Reason + ")"
		}
		m.para("", mailIndent, line(title))
		if decoded := stack(c.Frames, c.Guilty); decoded != "" {
			m.quote(decoded)
		} else {
			m.quote(plain(c.Text))
		}
	}
}

// quote writes the first lines of text, each cut.
func (m *mail) quote(text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, l := range lines {
		if i == mailStack {
			m.cut("%s[%d lines]", mailIndent, len(lines)-mailStack)
			return
		}
		m.cut("%s%s", mailIndent, strings.TrimPrefix(l, mailIndent))
	}
}

// notes says what the tests did not reach.
func (m *mail) notes() {
	all := notCompiled(m.r.Run.Kernel)
	if len(all) > 0 {
		m.gap()
	}
	for _, n := range all {
		m.para("", mailIndent, n)
	}
}

// again tells how to repeat it.
func (m *mail) again() {
	if command := recipeWords(m.r); command != nil {
		m.gap()
		m.cut("To repeat it:")
		m.b.WriteString(wrap(mailIndent, mailIndent+mailIndent, command, " \\") + "\n")
	}
}
