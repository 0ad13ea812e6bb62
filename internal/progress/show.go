package progress

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// plainEvery is how often a step says a line where there is no terminal: often
// enough that a CI job is not taken for dead, seldom enough to be read.
const plainEvery = 15 * time.Second

// quiet is how long a step must last before it is worth a word.
const quiet = time.Second

// beat is how often a step is looked at that says nothing itself, as one that
// waits for a lock. The first time is between two beats, so that a step that
// does is not interrupted.
const beat = time.Second

// New returns a Sink that writes to w: bars when w is a terminal, lines
// otherwise. Steps shorter than a second leave no trace, so that a run whose
// results are all cached stays silent.
func New(w io.Writer, terminal bool) Sink {
	return &shower{w: w, terminal: terminal}
}

type shower struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
}

// Start opens a step.
func (s *shower) Start(name string, total int64, unit Unit) Step {
	now := time.Now()
	step := &shown{shower: s, name: name, total: total, unit: unit, start: now, said: now}
	s.mu.Lock()
	defer s.mu.Unlock()
	step.beat = time.AfterFunc(quiet+beat/2, step.tick)
	return step
}

type shown struct {
	*shower
	name        string
	done, total int64
	unit        Unit
	start, said time.Time
	bar         *progressbar.ProgressBar
	beat        *time.Timer
	shown       bool
	over        bool
}

// tick shows a step whatever it says of itself.
func (s *shown) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.show(time.Now())
	s.beat.Reset(beat)
}

// Set shows done of total.
func (s *shown) Set(done, total int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done, s.total = done, total
	s.show(time.Now())
}

// show draws the bar or, from time to time, says a line.
func (s *shown) show(now time.Time) {
	if now.Sub(s.start) < quiet {
		return
	}
	if s.terminal {
		s.draw()
		return
	}
	if !s.shown || now.Sub(s.said) >= plainEvery {
		s.say(now)
	}
}

// draw moves the bar, making it when there is none.
func (s *shown) draw() {
	if s.bar == nil {
		s.bar = progressbar.NewOptions64(max(s.total, -1),
			progressbar.OptionSetWriter(s.w),
			progressbar.OptionSetDescription(s.name),
			progressbar.OptionShowBytes(s.unit == Bytes),
			progressbar.OptionShowCount(),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionSetElapsedTime(true),
			progressbar.OptionSetWidth(24),
			progressbar.OptionClearOnFinish())
	}
	if s.total > 0 && s.bar.GetMax64() != s.total {
		s.bar.ChangeMax64(s.total)
	}
	_ = s.bar.Set64(min(s.done, max(s.total, s.done))) // a bar that cannot be drawn stops nothing
	s.shown = true
}

// say writes one plain line.
func (s *shown) say(now time.Time) {
	s.shown, s.said = true, now
	if s.done <= 0 && s.total <= 0 {
		fmt.Fprintf(s.w, "%s: %.0f s so far\n", s.name, now.Sub(s.start).Seconds())
		return
	}
	fmt.Fprintf(s.w, "%s: %s%s\n", s.name, s.amount(), s.left(now))
}

// amount is "12 of 80 MiB" or "312 of 1900".
func (s *shown) amount() string {
	done, total, unit := s.done, s.total, ""
	if s.unit == Bytes {
		done, total, unit = done>>20, total>>20, " MiB"
	}
	if total <= 0 {
		return fmt.Sprintf("%d%s", done, unit)
	}
	return fmt.Sprintf("%d of %d%s", done, total, unit)
}

// telling is the part of the whole, a fiftieth, from which on a step's pace
// says something.
const telling = 50

// left is the estimate, once there is something to estimate from.
func (s *shown) left(now time.Time) string {
	took := now.Sub(s.start)
	if s.total <= 0 || s.done < s.total/telling || s.done <= 0 || s.done >= s.total || took < 2*time.Second {
		return ""
	}
	left := time.Duration(float64(took) * float64(s.total-s.done) / float64(s.done))
	return fmt.Sprintf(", about %v left", left.Round(time.Second))
}

// Done closes the step with one line, unless it was too short to mention.
func (s *shown) Done(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.beat.Stop()
	took := time.Since(s.start)
	if s.bar != nil {
		_ = s.bar.Clear()
	}
	if took < quiet && !s.shown {
		return
	}
	if note != "" {
		note = " (" + note + ")"
	}
	fmt.Fprintf(s.w, "%s: %.1f s%s\n", s.name, took.Seconds(), note)
}
