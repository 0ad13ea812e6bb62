package console

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Bounds of what one answer can make Explain keep.
const (
	maxTasks = 256 // of each kind
	maxHeld  = 256
)

// A Stuck is what a kernel that nothing came from any more answered when it
// was asked what it was doing.
type Stuck struct {
	// CPUs are what each CPU did; an idle one is left out.
	CPUs []Task `json:"cpus,omitempty"`
	// Deaf says that they did so with interrupts off: only an NMI was heard.
	Deaf bool `json:"deaf,omitempty"`
	// Blocked are the tasks that nothing but what they wait for can wake.
	Blocked []Task `json:"blocked,omitempty"`
	// Tasks are all tasks.
	Tasks []Task `json:"tasks,omitempty"`
	// Held are locks that are held or waited for, where lockdep is on.
	Held []Held `json:"held,omitempty"`
}

// A Task is one task or, on a CPU, what interrupted it was.
type Task struct {
	Name string `json:"name"` // at most 15 bytes: the kernel's
	PID  int    `json:"pid"`
	// State is a letter of ps(1): D, S, R …; empty for one on a CPU.
	State string `json:"state,omitempty"`
	// User says that it ran outside of the kernel.
	User bool `json:"user,omitempty"`
	// Frames are its stack in the kernel, innermost first, at most MaxFrames.
	Frames []Frame `json:"frames,omitempty"`
}

// A Held is a lock that a task holds or, the last of those of a blocked task,
// waits for.
type Held struct {
	Name string `json:"name"` // of the task
	PID  int    `json:"pid"`
	Lock string `json:"lock"` // its class: "&mm->mmap_lock"
	At   Frame  `json:"at"`   // where it was taken
}

// stuckPatterns are lines of answers to sysrq (drivers/tty/sysrq.c).
type stuckPatterns struct {
	*patterns
	cpu, task, holder, lock *regexp.Regexp
}

func newStuckPatterns() *stuckPatterns {
	return &stuckPatterns{
		patterns: newPatterns(),
		cpu:      regexp.MustCompile(`^CPU: \d+ (?:UID: \d+ )?PID: (\d+) Comm: (.{1,15}?) (?:Not tainted|Tainted)`),
		task:     regexp.MustCompile(`^task:(.{1,15}?) +state:([A-Z]).* pid:(\d+)`),
		holder:   regexp.MustCompile(`^\d+ locks? held by (.{1,15})/(\d+):`),
		lock:     regexp.MustCompile(`^ #\d+: [0-9a-fx]+ \((.{1,100}?)\)\{.*at: (.*)$`),
	}
}

// An explainer reads an answer line by line.
type explainer struct {
	*stuckPatterns
	stuck Stuck
	cpus  bool    // the answer is about CPUs
	tasks *[]Task // the answer is about these
	list  *[]Task // where the current task is, nil for none
	held  Held    // the task whose locks follow
}

// Explain reads what a kernel answered to sysrq l, w, d and t, or to an NMI;
// nil when nothing of that is in log.
func Explain(log []byte) *Stuck {
	e := &explainer{stuckPatterns: newStuckPatterns()}
	e.tasks = &e.stuck.Tasks
	s := scanner{rest: log}
	for raw, ok := s.next(); ok; raw, ok = s.next() {
		// The serial port's terminal echoes the break before the question.
		e.line(string(Message(bytes.TrimPrefix(raw, []byte("^@")))), s.n)
	}
	e.stuck.CPUs = busy(e.stuck.CPUs)
	e.stuck.Blocked = slices.DeleteFunc(e.stuck.Blocked, func(t Task) bool { return t.State != "D" })
	if len(e.stuck.CPUs)+len(e.stuck.Blocked)+len(e.stuck.Tasks) == 0 {
		return nil
	}
	return &e.stuck
}

func (e *explainer) line(text string, n int) {
	switch {
	case strings.HasPrefix(text, "NMI backtrace for cpu "), strings.Contains(text, "NMI: Not continuing"):
		e.cpus, e.list = true, nil
		e.stuck.Deaf = e.stuck.Deaf || strings.Contains(text, "NMI: Not")
	case strings.HasPrefix(text, "sysrq: "):
		e.cpus, e.list = false, nil
		e.tasks = &e.stuck.Tasks
		if text == "sysrq: Show Blocked State" {
			e.tasks = &e.stuck.Blocked // its lines are like those of all tasks
		}
	case e.heading(text):
	case e.list != nil:
		e.frame(text, n)
	default:
		e.lockLine(text, n)
	}
}

// heading starts a task or the locks of one.
func (e *explainer) heading(text string) bool {
	if m := e.cpu.FindStringSubmatch(text); m != nil && e.cpus {
		e.begin(&e.stuck.CPUs, Task{Name: m[2], PID: number(m[1])})
		return true
	}
	if m := e.task.FindStringSubmatch(text); m != nil {
		e.begin(e.tasks, Task{Name: m[1], State: m[2], PID: number(m[3])})
		return true
	}
	if m := e.holder.FindStringSubmatch(text); m != nil {
		e.held, e.list = Held{Name: m[1], PID: number(m[2])}, nil
		return true
	}
	return false
}

func (e *explainer) begin(list *[]Task, t Task) {
	if e.list = nil; len(*list) < maxTasks {
		*list = append(*list, t)
		e.list = list
	}
}

// frame adds a line of the current task's stack.
func (e *explainer) frame(text string, n int) {
	t := &(*e.list)[len(*e.list)-1]
	switch word := strings.TrimSpace(text); {
	case e.cpus && (word == "</IRQ>" || word == "</NMI>"):
		t.Frames = only(interruptedAt(t.Frames)) // below is what was interrupted
	case strings.Contains(text, "RIP: 0033:") && e.cpus:
		if asked(t.Frames) {
			t.Frames = nil
		}
		t.User = len(t.Frames) == 0
	default:
		f, ok := e.instruction(text, n)
		if ok && e.cpus && asked(t.Frames) {
			t.Frames = nil
		}
		if !ok || f.Func == "" {
			if f, _, ok = e.parse(text, n); !ok || strings.HasPrefix(word, "? ") {
				return
			}
		}
		if len(t.Frames) < MaxFrames {
			t.Frames = append(t.Frames, f)
		}
	}
}

// asked tells whether a stack ends in the interrupt by which the question came:
// what follows is what the CPU did before.
func asked(frames []Frame) bool {
	return len(frames) > 0 && matches(frames[len(frames)-1].Func, []string{"^asm_common_interrupt$", "^asm_sysvec_", "^common_interrupt$"})
}

// interruptedAt returns the last frame when it is the instruction that an NMI
// interrupted, which is printed above the end of the NMI's own stack.
func interruptedAt(all []Frame) *Frame {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Exact {
			return &all[i]
		}
	}
	return nil
}

func only(f *Frame) []Frame {
	if f == nil {
		return nil
	}
	return []Frame{*f}
}

func (e *explainer) lockLine(text string, n int) {
	m := e.lock.FindStringSubmatch(text)
	if m == nil || e.held.Name == "" || len(e.stuck.Held) >= maxHeld {
		return
	}
	h := e.held
	h.Lock = m[1]
	for _, old := range e.stuck.Held {
		if old.Name == h.Name && old.PID == h.PID && old.Lock == h.Lock {
			return // two answers tell of it
		}
	}
	h.At, _, _ = e.parse(" "+m[2], n)
	e.stuck.Held = append(e.stuck.Held, h)
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// busy leaves out idle CPUs.
func busy(cpus []Task) []Task {
	var all []Task
	for _, t := range cpus {
		if t.PID != 0 {
			all = append(all, t)
		}
	}
	return all
}

// waits is the first of Telling; its Func may be empty.
func (t *Task) waits() Frame {
	frames := t.Telling()
	if len(frames) == 0 {
		return Frame{}
	}
	return frames[0]
}

// Telling are the frames of t from the one on that tells what it waits for or
// does: the innermost that does more than wait, or else the outermost of the
// kernel's own.
func (t *Task) Telling() []Frame {
	last := 0
	for i, f := range t.Frames {
		if matches(f.Func, dispatchers()) {
			break
		}
		if !matches(f.Func, waiting) && !passive(f.Func) {
			return t.Frames[i:]
		}
		last = i
	}
	return t.Frames[last:]
}

func (t *Task) who() string { return fmt.Sprintf("%s (pid %d)", t.Name, t.PID) }

// Why says in one line what a guest is stuck in in which the program called
// program was running; "" when the answer does not tell.
func (s *Stuck) Why(program string) string {
	if len(s.Blocked) > 0 {
		return s.blocked()
	}
	if len(s.CPUs) > 0 {
		t := s.CPUs[0]
		where := "runs in " + cmp.Or(t.waits().Func, "the kernel")
		if t.User {
			where = "runs outside of the kernel"
		}
		if s.Deaf {
			where += " with interrupts off"
		}
		return t.who() + " " + where
	}
	return s.sleeping(program)
}

// blocked names a blocked task, what it waits for and who has it. Of several
// it is one that waits for no lock: the others may wait for one that it holds.
func (s *Stuck) blocked() string {
	t := s.Blocked[max(0, slices.IndexFunc(s.Blocked, func(t Task) bool { return !t.locking() }))]
	why := t.who() + " is blocked in " + cmp.Or(t.waits().Func, "the kernel")
	if lock, holder := s.wants(t); lock != "" {
		why += ", waits for " + lock
		if holder != "" {
			why += ", which " + holder + " holds"
		}
	}
	for _, other := range s.Blocked {
		if lock, holder := s.wants(other); holder == t.who() {
			why += ", holds " + lock + ", for which " + other.who() + " waits"
			break
		}
	}
	if n := len(s.Blocked) - 1; n > 0 {
		why += fmt.Sprintf("; %d more are blocked", n)
	}
	return why
}

// wants is the lock that t waits for, and who else has taken it.
func (s *Stuck) wants(t Task) (lock, holder string) {
	if len(t.Frames) == 0 || !t.locking() {
		return "", ""
	}
	for _, h := range s.Held {
		if h.PID == t.PID {
			lock = h.Lock
		}
	}
	for _, h := range s.Held {
		if h.Lock == lock && h.PID != t.PID {
			return lock, (&Task{Name: h.Name, PID: h.PID}).who()
		}
	}
	return lock, ""
}

// locking tells whether t sleeps because it takes a lock.
func (t *Task) locking() bool {
	for _, f := range t.Frames {
		if matches(f.Func, []string{"mutex_lock", "rwsem_down", "^down"}) {
			return true
		}
		if !matches(f.Func, waiting) && !passive(f.Func) {
			return false
		}
	}
	return false
}

// sleeping says what the program's tasks wait for where nothing is blocked.
func (s *Stuck) sleeping(program string) string {
	name := program[:min(len(program), 15)]
	var where []string
	seen := map[string]bool{}
	for _, t := range s.Tasks {
		f := t.waits().Func
		if t.Name == name && f != "" && !seen[f] {
			seen[f] = true
			where = append(where, f)
		}
	}
	if len(where) == 0 {
		return ""
	}
	return "no task is blocked; " + program + " sleeps in " + strings.Join(where, ", ")
}
