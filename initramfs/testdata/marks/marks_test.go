package marks

import (
	"os"
	"testing"
	"time"
)

func TestFirst(t *testing.T) { t.Log("fine") }

func TestSubtests(t *testing.T) {
	t.Run("one", func(t *testing.T) { t.Parallel() })
	t.Run("two words", func(t *testing.T) { t.Skip("not today") })
}

// TestPanic crashes the kernel before it does anything else.
func TestPanic(t *testing.T) {
	if err := os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0); err != nil {
		t.Fatal(err)
	}
}

func TestSleep(t *testing.T) { time.Sleep(time.Hour) }
