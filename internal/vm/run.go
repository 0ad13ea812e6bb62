package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/runvm/runvm/internal/wire"
)

// The times QEMU and the host have to finish what is already decided.
const (
	offTime   = 2 * time.Second  // from the guest's last event to QEMU's exit
	panicTime = 5 * time.Second  // from the panic to the reset that follows
	drainTime = 10 * time.Second // from QEMU's exit until all it said is written

	minSilence = 100 * time.Millisecond // between two looks at the clock of silence
)

// Run boots m and returns when it is over. An error means that there was no
// run to judge: m is impossible, a file is missing, QEMU cannot be started
// (ErrNoQEMU when it is not installed) or does not die, the console or the
// results cannot be written.
func Run(ctx context.Context, m Machine, o Options) (*Result, error) {
	if err := m.validate(); err != nil {
		return nil, err
	}
	path, err := find(m.QEMU)
	if err != nil {
		return nil, err
	}
	for _, f := range append([]string{m.Kernel}, m.archives()...) {
		if _, err := os.Stat(f); err != nil {
			return nil, fmt.Errorf("boot: %w", err)
		}
	}
	m.tscKHz = tscKHz()
	m.prompt = m.Deterministic && len(m.Disks) > 0 && canPrompt(ctx, path, m.Disks[0])
	o.defaults()
	if o.Snapshots != "" && m.resumable() {
		result, err := resume(ctx, path, m, o)
		if !errors.Is(err, errCold) {
			return result, err
		}
	}
	return coldBoot(ctx, path, m, o)
}

// coldBoot boots m and runs it to its end.
func coldBoot(ctx context.Context, path string, m Machine, o Options) (*Result, error) {
	c, err := open(&m, m.archives())
	if err != nil {
		return nil, fmt.Errorf("boot: %w", err)
	}
	defer c.close()
	return newRun(path, m, o, c).boot(ctx)
}

// newRun prepares a run of m, whose channels are c, that boots at once.
func newRun(path string, m Machine, o Options, c *channels) *run {
	r := &run{options: o, channels: c, script: bootScript(), events: make(chan Event, maxEvents), answers: make(chan string, 1), failed: make(chan error, 4), begun: make(chan struct{})}
	r.result.Args = append([]string{path}, append(c.args, m.args(c.ends)...)...)
	r.result.Line = Line(m)
	r.result.DiskWaits = m.Deterministic && len(m.Disks) > 0 && !m.prompt
	return r
}

// A run is a Run under way.
type run struct {
	options  Options
	channels *channels
	process  *process
	result   Result
	console  *bounded
	results  *recorder
	events   chan Event
	failed   chan error    // what a reader could not do
	readers  []<-chan bool // closed at the end of each channel
	heard    atomic.Int64  // when the guest last said something, since Times.Started

	answers chan string // QEMU's that are text

	script   script
	migrated bool          // QEMU has written or read the guest's state
	begun    chan struct{} // closed when the guest of a script that reads it may speak
	before   *snapshot     // what that guest said before
}

// boot starts QEMU, watches it until it is gone and sums up.
func (r *run) boot(ctx context.Context) (*Result, error) {
	args := r.result.Args
	if r.options.Echo != nil {
		fmt.Fprintf(r.options.Echo, "+ %s\n", r.result.Line)
	}
	if err := r.hail(); err != nil {
		return nil, err
	}
	r.result.Times.Started = time.Now()
	var err error
	if r.process, err = start(args[0], args[1:], r.channels.child); err != nil {
		return nil, err
	}
	r.channels.closeChild()
	r.listen()
	err = r.watch(ctx)
	if kill := r.process.kill(); kill != nil {
		return nil, kill
	}
	if drain := r.drain(); err == nil {
		err = drain
	}
	r.result.Times.End = r.since()
	if err != nil {
		return nil, err
	}
	r.sumUp()
	return &r.result, nil
}

func (r *run) since() time.Duration { return time.Since(r.result.Times.Started) }

// listen reads the channels, each in a goroutine.
func (r *run) listen() {
	r.console = newBounded(r.options.Console, r.options.MaxConsole)
	r.results = newRecorder(r.options.Results, r.options.MaxResults, r.record)
	r.read("console", func() error {
		if err := r.replay(r.console, consoleName); err != nil {
			return err
		}
		return copyOut(r.console, &hearing{run: r, r: r.channels.console, first: &r.result.Times.FirstConsole})
	})
	r.read("results", func() error {
		if err := r.replay(r.results, resultsName); err != nil {
			return err
		}
		return copyOut(r.results, &hearing{run: r, r: r.channels.results, first: new(time.Duration)})
	})
	r.read("QMP", func() error {
		return readQMP(r.channels.qmp, r.result.Times.Started, func(e Event) { r.events <- e }, func(s string) {
			select {
			case r.answers <- s:
			default:
			}
		})
	})
	if tty := r.channels.tty; tty != nil && r.options.TTY != nil {
		go func() { _ = copyOut(tty, r.options.TTY) }()
		r.read("terminal", func() error { return copyOut(writer{r.options.TTY}, tty) })
	}
}

// read runs f, the reader of the named channel, in a goroutine.
func (r *run) read(name string, f func() error) {
	done := make(chan bool)
	r.readers = append(r.readers, done)
	go func() {
		defer close(done)
		if err := f(); err != nil && !gone(err) {
			r.failed <- fmt.Errorf("%s: %w", name, err)
		}
	}()
}

// record notes the milestones and hands the record on.
func (r *run) record(rec wire.Record) {
	t := &r.result.Times
	if rec.Type == wire.Hello && t.Hello == 0 {
		t.Hello = r.since()
	}
	if rec.Type == wire.Out && t.FirstOut == 0 {
		t.FirstOut = r.since()
	}
	r.options.OnRecord(rec)
	if rec.Type == wire.Ready && r.script.ready != "" {
		if err := r.tell(r.script.ready); err != nil {
			r.failed <- err
		}
	}
}

// watch returns when the run is over, its reason set; QEMU may still be there.
func (r *run) watch(ctx context.Context) error {
	deadline := expiry(r.options.Deadline)
	quiet := newSilence(r.options.Silence, r.process.cmd.Process.Pid)
	silence := expiry(r.options.Silence)
	var grace <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			r.end(Killed, fmt.Sprintf("stopped: %v", context.Cause(ctx)))
			return nil
		case err := <-r.failed:
			return err
		case <-r.process.exited:
			return nil
		case <-grace:
			return nil
		case <-deadline:
			r.end(Deadline, fmt.Sprintf("not over after %v", r.options.Deadline))
			return r.late(ctx)
		case <-silence:
			left := quiet.left(r.since(), time.Duration(r.heard.Load()))
			if left <= 0 {
				r.end(Silence, fmt.Sprintf("neither console nor results said anything for %v", quiet))
				return r.late(ctx)
			}
			silence = time.After(max(left, minSilence))
		case e := <-r.events:
			if err := errors.Join(r.migration(e), e.fault()); err != nil {
				return err
			}
			switch r.note(e) {
			case "":
			case Panicked:
				if err := r.dump(ctx); err != nil {
					return err
				}
				grace = time.After(panicTime)
			default:
				grace = time.After(offTime)
			}
		}
	}
}

// late does what is wanted of a guest that ran out of time.
func (r *run) late(ctx context.Context) error {
	if err := r.dump(ctx); err != nil {
		return err
	}
	return r.ask(ctx)
}

// expiry is a clock that never rings for 0.
func expiry(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}

// note keeps an event and returns how it ends the run, "" when it does not.
func (r *run) note(e Event) Reason {
	if len(r.result.Events) < maxEvents {
		r.result.Events = append(r.result.Events, e)
	}
	reason := e.reason()
	switch reason {
	case PowerOff:
		r.end(reason, "the guest powered off")
	case Reset:
		r.end(reason, "the guest was reset")
	case Panicked:
		r.end(reason, "the guest's kernel panicked")
	case Killed:
		r.end(reason, "QEMU was told to stop by somebody else")
	}
	return reason
}

// end sets the run's reason; the first one stays.
func (r *run) end(reason Reason, detail string) {
	if r.result.Reason == "" {
		r.result.Reason, r.result.Detail = reason, detail
	}
}

// drain waits until everything QEMU said has been written. It also takes
// events that came together with QEMU's exit.
func (r *run) drain() error {
	patience := time.After(drainTime)
	for _, done := range r.readers {
		for open := true; open; {
			select {
			case <-done:
				open = false
			case e := <-r.events:
				r.note(e)
			case <-patience:
				return fmt.Errorf("boot: console or results not written %v after the end", drainTime)
			}
		}
	}
	for len(r.events) > 0 {
		r.note(<-r.events)
	}
	select {
	case err := <-r.failed:
		return err
	default:
	}
	if err := r.console.Close(); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	if err := r.results.Close(); err != nil {
		return fmt.Errorf("results: %w", err)
	}
	return nil
}

// sumUp completes the result of a run whose channels are drained.
func (r *run) sumUp() {
	s := &r.result
	s.Stderr = r.process.stderr.String()
	s.ConsoleTail = r.console.last.String()
	s.ConsoleBytes, s.ResultBytes = r.console.seen, r.results.seen
	s.Cut = r.console.dropped() > 0 || r.results.dropped > 0
	s.BadLines = r.results.bad
	how := "exit status 0"
	if r.process.err != nil {
		how = r.process.err.Error()
	}
	if last := lastLine(s.Stderr); last != "" {
		how += ": " + last
	}
	r.end(QEMUExit, "QEMU ended by itself: "+how)
}

// lastLine is the last line of s with something on it.
func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
