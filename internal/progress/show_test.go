package progress

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestPlainLinesTellAmountAndTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := New(&out, false).Start("compile", 0, Items)
		for i := int64(1); i <= 60; i++ {
			time.Sleep(time.Second)
			step.Set(i, 120)
		}
		step.Done("from scratch")
		want := "compile: 1 of 120\n" +
			"compile: 16 of 120, about 1m44s left\n" +
			"compile: 31 of 120, about 1m29s left\n" +
			"compile: 46 of 120, about 1m14s left\n" +
			"compile: 60.0 s (from scratch)\n"
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestAWaitIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := New(&out, false).Start("wait for another", 0, Items)
		time.Sleep(20 * time.Second)
		step.Done("")
		time.Sleep(time.Minute)
		want := "wait for another: 2 s so far\nwait for another: 16 s so far\nwait for another: 20.0 s\n"
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", out.String(), want)
		}
	})
}

func TestShortStepsAreSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := New(&out, false).Start("look", 10, Items)
		step.Set(5, 10)
		step.Done("")
		if out.Len() != 0 {
			t.Errorf("a step of no length wrote %q", out.String())
		}
	})
}

func TestReaderCountsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := New(&out, false).Start("download", 3<<20, Bytes)
		time.Sleep(time.Second)
		r := Reader(strings.NewReader(strings.Repeat("x", 3<<20)), step, 3<<20)
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(out.String(), "download: 0 of 3 MiB\n") {
			t.Errorf("wrote %q", out.String())
		}
	})
}

func TestBarIsDrawnOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		step := New(&out, true).Start("unpack", 4<<20, Bytes)
		time.Sleep(time.Second)
		step.Set(1<<20, 4<<20)
		time.Sleep(time.Second)
		step.Set(3<<20, 4<<20)
		step.Done("")
		if !strings.Contains(out.String(), "75%") || !strings.HasSuffix(out.String(), "unpack: 2.0 s\n") {
			t.Errorf("wrote %q", out.String())
		}
	})
}
